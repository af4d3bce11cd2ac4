"""Attention temperature: a factor on the query that grows with its position."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.errors import RopeConfigError


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
        if self.form not in ("log", "power"):
            raise RopeConfigError(f"form must be 'log' or 'power', got {self.form!r}")
        if isinstance(self.length, bool) or not isinstance(self.length, int) or self.length <= 0:
            raise RopeConfigError(f"length must be a whole number > 0, got {self.length!r}")
        if isinstance(self.beta, bool) or not isinstance(self.beta, int | float) or not np.isfinite(self.beta):
            raise RopeConfigError(f"beta must be a finite number, got {self.beta!r}")

    def __call__(self, positions: ArrayLike) -> NDArray[np.float64]:
        """Return the factor for each position: float64, of the positions' shape."""
        shifted = np.maximum(np.asarray(positions) + self.shift, 0)
        if self.form == "power":
            return np.asarray((1 + shifted / self.length) ** self.beta, np.float64)
        return np.asarray(1 + self.beta * np.log1p(shifted // self.length), np.float64)
