"""Attention temperature: a factor on the query that grows with its position."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.called import fields_in_words
from tightrope.rope.support.validation import array, is_whole, number, one_of, positive_integer, require


@fields_in_words()
@dataclass(frozen=True, kw_only=True)
class QueryScale:
    """A factor on the query at position p, so that attention stays sharp over long contexts.

    `"log"`: 1 + beta · ln(1 + ⌊(p + shift) / length⌋)     (Scalable-Softmax, arXiv:2501.19399, as Llama 4 applies it)
    `"power"`: (1 + (p + shift) / length) ** beta
    Positions before the first count as the first: left padding gets a finite factor.
    """

    beta: float
    length: int
    shift: int = 0
    form: Literal["log", "power"] = "log"

    def __post_init__(self) -> None:
        require(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from number("beta", self.beta)
        yield from positive_integer("length", self.length)
        if not is_whole(self.shift):
            yield f"shift must be a whole number, got {shortened(self.shift)}"
        yield from one_of("form", self.form, ("log", "power"))

    def __call__(self, positions: ArrayLike) -> NDArray[np.float64]:
        """Return the factor for each position: float64, of the positions' shape."""
        shifted = np.maximum(numbers(positions) + self.shift, 0)
        if self.form == "power":
            return np.asarray((1 + shifted / self.length) ** self.beta, np.float64)
        return np.asarray(1 + self.beta * np.log1p(shifted // self.length), np.float64)


def numbers(positions: ArrayLike) -> NDArray[Any]:
    """Return positions as an array, after a check that they are numbers."""
    found = array("positions", positions)
    if found.size and found.dtype.kind not in "iuf":
        raise RopeConfigError(f"positions must be numbers, got {shortened(positions)}")
    return found
