"""A model that llama.cpp runs, from this side of the pipe."""

import re
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from tightrope.verify.children import end_process
from tightrope.verify.llama_cpp.messages import receive, send

_LAYER: Final = re.compile(r"-(\d+)(?:$| )")
_MOST_TOKENS: Final = 64
_QUOTED: Final = 400


class Refusal(Exception):  # noqa: N818  # as the audit's own
    """llama.cpp does not run a model, in its own words; `available` false: it is not to be had at all."""

    def __init__(self, text: str, *, available: bool = True) -> None:
        super().__init__(text)
        self.available = available


@dataclass(frozen=True)
class Node:
    """What one operation of llama.cpp's graph did.

    Attributes:
        layer: Its layer, by its name; -1 where it names none.
        values: Its parameters: name, source, dims, mode, base, scale, factors … of a rotation; `scale` of a softmax.
        y: What a rotation made of the vectors, (tokens, heads, width); None for a softmax.
    """

    layer: int
    values: Mapping[str, Any] = field(repr=False)
    y: NDArray[np.float32] | None = field(default=None, repr=False)


class Session:
    """A process that runs llama.cpp with one header and virtual weights.

    Args:
        header: A GGUF file; only what precedes its data is read.
        n_ctx: Context in tokens for which llama.cpp is set up.
        divisors: The tensors of divisors, by name.

    Raises:
        Refusal: llama.cpp does not run this model, or is not there.
    """

    def __init__(self, header: Path, n_ctx: int, divisors: Mapping[str, NDArray[np.float32]]) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        command = [sys.executable, "-m", "tightrope.verify.llama_cpp.worker"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, close_fds=True
        )
        self._end = weakref.finalize(self, end_process, self.process, self.errors)
        try:
            words = {"header": str(header), "n_ctx": n_ctx, "divisors": list(divisors)}
            answer, _ = self._ask(words, dict(divisors))
        except Refusal:
            self.close()
            raise
        self.rope_type = int(answer["rope_type"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._end()

    def run(self, x: NDArray[np.float32], positions: NDArray[np.int64], axes: int = 1) -> list[Node]:
        """Return what each node did with x, (tokens, heads, width), one position for each token.

        Raises:
            Refusal: llama.cpp fails.
        """
        parts = [
            self._nodes(x[start : start + _MOST_TOKENS], positions[start : start + _MOST_TOKENS], axes)
            for start in range(0, len(x), _MOST_TOKENS)
        ]
        return [
            Node(nodes[0].layer, nodes[0].values, np.concatenate([node.y for node in nodes if node.y is not None]))
            if nodes[0].y is not None
            else nodes[0]
            for nodes in zip(*parts, strict=True)
        ]

    def _nodes(self, x: NDArray[np.float32], positions: NDArray[np.int64], axes: int) -> list[Node]:
        words, arrays = self._ask(
            {"axes": axes}, {"x": np.ascontiguousarray(x), "positions": positions.astype(np.int32)}
        )
        layers = _layers(words["nodes"])
        return [
            Node(layer, values, arrays.get(str(index)))
            for index, (layer, values) in enumerate(zip(layers, words["nodes"], strict=True))
        ]

    def _ask(
        self, words: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        stdin, stdout = self._pipes()
        try:
            send(stdin, words, arrays)
            answer, results = receive(stdout)
        except (EOFError, OSError) as error:
            raise Refusal(self._last_words()) from error
        if "error" in answer:
            raise Refusal(answer["error"], available=answer["refused"])
        return answer, results

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self.process.stdin is None or self.process.stdout is None:
            raise Refusal("its process has no pipes", available=False)
        return self.process.stdin, self.process.stdout

    def _last_words(self) -> str:
        """Return what a process that ended wrote last; an assertion of llama.cpp ends it."""
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").splitlines()
        said = next((line for line in lines if "GGML_ASSERT" in line or "error" in line.lower()), "")
        return f"it ended with status {status}: {said[:_QUOTED] or 'nothing said'}"


def _layers(nodes: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return each node's layer: by its name, or its source's, or that of the named node that follows."""
    found: list[int] = []
    following = -1
    for values in reversed(nodes):
        named = [_LAYER.search(str(values.get(key, ""))) for key in ("name", "source")]
        following = next((int(match.group(1)) for match in named if match), following)
        found.append(following)
    return found[::-1]
