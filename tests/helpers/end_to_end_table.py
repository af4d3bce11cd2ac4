"""Prints how far the logits of tiny models are from exact ones, in mlx-lm as it is and in both frameworks patched.

    python tests/helpers/end_to_end_table.py

Errors are parts of the largest logit; the exact logits are the patched model's in float64. Positions begin at 0 and at
40,000.
"""

from collections.abc import Iterator

import numpy as np

import tightrope
from models import pairs
from models.pairs import FAR, SHORT
from models.tiny_models import ARCHITECTURES


def errors(name: str, offset: int) -> Iterator[str]:
    """Yield the error of mlx-lm as it is, of mlx-lm patched, and of transformers patched."""
    pair, prompt = pairs.pair(name), pairs.prompt()
    exact = pair.exact_logits(prompt, offset)

    def error(logits: np.ndarray) -> str:
        return f"{np.abs(logits - exact).max() / np.abs(exact).max():.0e}"

    try:
        yield error(pairs.mlx_logits(pair.unpatched_mlx(), prompt, offset))
    except TypeError:
        yield "raises"
    yield error(pairs.mlx_logits(pair.mlx, prompt, offset))
    with tightrope.patched(pair.torch):
        yield error(pair.torch_logits(prompt, offset))


def main() -> None:
    """Print a line for each architecture."""
    print("| | mlx-lm, at 0 | patched | transformers, patched | mlx-lm, at 40,000 | patched | transformers, patched |")
    print("| --- |" + " ---: |" * 6)
    for name in ARCHITECTURES:
        print("|", " | ".join([name, *errors(name, SHORT), *errors(name, FAR)]), "|")


if __name__ == "__main__":
    main()
