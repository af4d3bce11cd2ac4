"""Tensors of divisors in a GGUF file, where llama.cpp loads them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reading.gguf.columns import Architecture
from tightrope.rope.reading.section import Section
from tightrope.rope.scaling import Scaling
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.divisors import Divisors
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.longrope import LongRope

# The converter computes the divisors in float32, six roundings of 2⁻²⁴ along the formula. The blend s enters as
# 1 / ((1 − s) / factor + s): an error of s grows by up to the factor.
_DIVISOR_ROUNDING = 6 * 2.0**-24

_BY_LENGTH = ("rope_factors_long", "rope_factors_short")


@dataclass(frozen=True)
class Divided:
    """A file's metadata with its tensors of divisors.

    Attributes:
        section: The architecture's keys.
        divisors: The tensors by name.
        row: What llama.cpp's code knows of the architecture.
    """

    section: Section
    divisors: Mapping[str, tuple[float, ...]]
    row: Architecture


def divided_by(file: Divided, plain: RopeConfig, name: str, factor: float) -> Scaling | None:
    """Return the rope type that the file's tensors say, None where it has none that llama.cpp loads.

    Args:
        file: The file.
        plain: Its rope without scaling.
        name: rope.scaling.type.
        factor: What every angle is divided by, besides.
    """
    row, stated = file.row, file.divisors
    by_length = row.factors == "always" or (row.factors == "by type" and name == "longrope")
    loaded = _BY_LENGTH if by_length else ("rope_freqs",) if row.freqs else ()
    for unread in [tensor for tensor in stated if tensor not in loaded]:
        file.section.findings.note(f"tensor {unread} is not loaded by llama.cpp in this architecture")
    if by_length and (name == "longrope" or any(tensor in stated for tensor in _BY_LENGTH)):
        return _longrope(file, factor)
    if "rope_freqs" in loaded and "rope_freqs" in stated:
        return _divided(stated["rope_freqs"], file.section, plain, factor)
    if name == "longrope":
        file.section.findings.note(
            f"{file.section.where('rope.scaling.type')} 'longrope' divides by no tensor in this architecture: "
            "llama.cpp scales by the factor alone"
        )
    return None


def _longrope(file: Divided, factor: float) -> Scaling:
    section = file.section
    missing = [name for name in _BY_LENGTH if name not in file.divisors]
    for name in missing:
        section.findings.problem(f"tensor {name} of LongRoPE is required and missing; convert the model again")
    if missing:
        return Default()
    long, short = (file.divisors[name] for name in _BY_LENGTH)
    return LongRope(
        long_factor=tuple(factor * divisor for divisor in long),
        short_factor=tuple(factor * divisor for divisor in short),
        original_max_position_embeddings=section.integer("rope.scaling.original_context_length"),
        attention_factor=float(section.number("rope.scaling.attn_factor", above=0) or 1.0),
    )


def _divided(divisors: tuple[float, ...], section: Section, plain: RopeConfig, factor: float) -> Scaling:
    """Return Llama 3.1's rope type where the tensor holds its divisors, else the divisors themselves."""
    given = Divisors(divisor=tuple(factor * divisor for divisor in divisors))
    if len(divisors) != plain.pairs or section.get("rope.scaling.attn_factor") not in (None, 1):
        return given  # RopeConfig says what is wrong with another number; no published type has both
    if factor != 1:
        section.findings.note(f"rope_freqs times {section.where('rope.scaling.factor')}: llama.cpp divides by both")
        return given
    if set(divisors) == {1.0}:
        section.findings.note("rope_freqs holds nothing but ones: nothing is divided")
        return Default()
    llama3 = _llama3(divisors, plain)
    if llama3 is None:
        section.findings.note("rope_freqs: one divisor per pair, of no known rope type")
        return given
    section.findings.note(
        f"rope_freqs holds the divisors of llama3 (factor {llama3.factor:g}, low_freq_factor "
        f"{llama3.low_freq_factor:g}, high_freq_factor {llama3.high_freq_factor:g}, original length 8192)"
    )
    return llama3


def _llama3(divisors: tuple[float, ...], plain: RopeConfig) -> Llama3 | None:
    """Return the published parameters that give these divisors: Llama 3.1 to 3.3 and 4 Scout, all from 8192 tokens."""
    factor = round(max(divisors))
    if factor < 1:
        return None
    for high in (4.0, 1.0):
        candidate = Llama3(
            factor=float(factor), low_freq_factor=1.0, high_freq_factor=high, original_max_position_embeddings=8192
        )
        kept, scaled = frequencies(plain).inv_freq, frequencies(plain.replace(scaling=candidate)).inv_freq
        if np.all(np.abs(np.array(divisors) * scaled / kept - 1) <= _DIVISOR_ROUNDING * factor):
            return candidate
    return None
