"""From a configuration to its frequencies: the second room of the pipeline."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import DecimalException
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.arithmetic import EXACT, FLOAT32, Arithmetic, FloatArray
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.phase import turns
from tightrope.rope.support.validation import is_number, is_whole, number, one_of, require

Precision = Literal["exact", "float32"]

_ARITHMETICS: dict[str, Arithmetic] = {"exact": EXACT, "float32": FLOAT32}


@dataclass(frozen=True, eq=False)
class Frequencies:
    """The frequencies that hold for a sequence length.

    Attributes:
        inv_freq: (rotary_dim // 2,), radians per position, read-only; float64, or float32 under precision "float32".
            Negative where the configuration rotates the other way.
        attention_factor: Multiplies cos and sin. 1.0 unless YaRN or LongRoPE.
    """

    inv_freq: FloatArray
    attention_factor: float

    def __post_init__(self) -> None:
        require(self._problems())

    def _problems(self) -> Iterator[str]:
        values = self.inv_freq
        if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind != "f":
            yield f"inv_freq must be a numpy array (rotary_dim // 2,) of floats, got {shortened(values)}"
        yield from number("attention_factor", self.attention_factor)
        if is_number(self.attention_factor) and not _fits_float32(self.attention_factor):
            yield (
                "attention_factor must be 0 or from 1.2e-38 to 3.4e38 in magnitude, for it multiplies float32, "
                f"got {shortened(self.attention_factor)}"
            )

    @cached_property
    def turns(self) -> NDArray[np.uint64]:
        """uint64 (rotary_dim // 2,): inv_freq in 2⁻⁶⁴ of a turn per position, modulo one turn, correctly rounded."""
        return turns(self.inv_freq)


def _fits_float32(value: float) -> bool:
    limits = np.finfo(np.float32)
    return value == 0 or float(limits.tiny) <= abs(value) <= float(limits.max)


def frequencies(config: RopeConfig, seq_len: int | None = None, *, precision: Precision = "exact") -> Frequencies:
    """Return one angular frequency per rotated pair, and the factor on cos and sin.

    inv_freq[i] = base ** (-2 i / rotary_dim), then scaled by the rope type    (RoFormer, arXiv:2104.09864; θ_i there)

    Args:
        config: Validated configuration.
        seq_len: Tokens in context (largest position + 1). Read only by rope types that follow the length.
        precision: `"exact"`: float64, the same bits everywhere. `"float32"`: transformers' arithmetic, step by step.

    Raises:
        RopeConfigError: The rope type follows the length and seq_len is missing, or an argument is not allowed.
    """
    if not isinstance(config, RopeConfig):
        raise RopeConfigError(f"config must be a RopeConfig, got {type(config).__name__}; give model.rope()")
    require(one_of("precision", precision, _ARITHMETICS))
    return _frequencies(config, _effective_length(config, seq_len), precision)


def _effective_length(config: RopeConfig, seq_len: int | None) -> int | None:
    if not config.scaling.follows_length:
        return None
    if seq_len is None:
        raise RopeConfigError(
            f"rope_type {config.scaling.rope_type!r} follows the sequence: give seq_len (tokens in context)"
        )
    if not is_whole(seq_len) or seq_len < 0:
        raise RopeConfigError(f"seq_len must be a whole number >= 0, got {shortened(seq_len)}")
    return config.scaling.effective_length(config, int(seq_len))


# A dynamic NTK decode visits a new length every step; the bound keeps a long one from growing memory.
@lru_cache(maxsize=256)
def _frequencies(config: RopeConfig, seq_len: int | None, precision: Precision) -> Frequencies:
    try:
        # What is not finite in the end is refused; numpy's warnings on the way would say it twice.
        with np.errstate(over="ignore", invalid="ignore"):
            inv_freq, attention_factor = _by_pair(config, _ARITHMETICS[precision], seq_len)
    except (OverflowError, DecimalException) as error:
        raise _not_finite(config) from error
    inv_freq = _checked(inv_freq, config) * config.direction
    inv_freq.setflags(write=False)
    return Frequencies(inv_freq, float(attention_factor))


def _by_pair(config: RopeConfig, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
    """Return the frequency of each pair: one progression over all, or one over the pairs of each axis."""
    mrope = config.mrope
    whole, factor = _pair(config.scaling.frequencies(config, arithmetic, seq_len), config)
    if mrope is None or mrope.progression == "shared":
        return whole, factor
    axes = np.array(mrope.pair_axes(config.pairs))
    inv_freq = np.empty_like(whole)
    for axis, section in enumerate(mrope.sections):
        if mrope.progression == "dealt":
            inv_freq[axes == axis] = whole[axis :: mrope.axes]
        elif section:
            one = config.replace(rotary_dim=2 * section, layout="half", mrope=None, frequency_dim=None)
            inv_freq[axes == axis] = _pair(one.scaling.frequencies(one, arithmetic, seq_len), config)[0]
    return inv_freq, factor


def _pair(given: object, config: RopeConfig) -> tuple[FloatArray, float]:
    """Return what a rope type gave, after a check that it is frequencies and a factor: types may be a user's own."""
    name = config.scaling.rope_type
    if not isinstance(given, tuple) or len(given) != 2:
        got = f"{type(given).__name__} alone" if not isinstance(given, tuple) else f"{len(given)} values"
        raise RopeConfigError(
            f"rope_type {name!r} must return (inv_freq, attention_factor), got {got}; end its frequencies with "
            "'return inv_freq, 1.0'"
        )
    inv_freq, factor = given
    if not isinstance(inv_freq, np.ndarray) or inv_freq.dtype.kind != "f":
        raise RopeConfigError(f"rope_type {name!r} must return inv_freq as floats of numpy, got {shortened(inv_freq)}")
    require(number(f"attention_factor of rope_type {name!r}", factor))
    return inv_freq, factor


def _checked(inv_freq: FloatArray, config: RopeConfig) -> NDArray[np.floating[Any]]:
    name = config.scaling.rope_type
    if inv_freq.shape != (config.pairs,):
        raise RopeConfigError(f"rope_type {name!r} must give {config.pairs} frequencies, got shape {inv_freq.shape}")
    if not np.isfinite(inv_freq).all():
        raise _not_finite(config)
    return inv_freq


def _not_finite(config: RopeConfig) -> RopeConfigError:
    name, base = config.scaling.rope_type, config.base
    return RopeConfigError(
        f"rope_type {name!r} gives a frequency that is not finite; check base ({base:.15g}) and factors"
    )
