"""The rope type of a GGUF file: its rope.scaling keys and its tensors of divisors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reading.gguf.architectures import Architecture
from tightrope.rope.reading.section import Section
from tightrope.rope.scaling import Scaling
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.divisors import Divisors
from tightrope.rope.scaling.linear import Linear
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.ntk import Ntk
from tightrope.rope.scaling.yarn import Yarn

_TYPES = ("none", "linear", "yarn", "longrope")

# The converter computes the divisors in float32, six roundings of 2⁻²⁴ along the formula. The blend s enters as
# 1 / ((1 − s) / factor + s): an error of s grows by up to the factor.
_DIVISOR_ROUNDING = 6 * 2.0**-24


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


def scaling_of(file: Divided, plain: RopeConfig) -> Scaling:
    """Return the rope type of a file whose rope is otherwise `plain`.

    llama.cpp divides the angle by the factor and by the pair's divisor, whichever of the two a file has.
    """
    section = file.section
    name = section.text("rope.scaling.type") or "linear"
    if name not in _TYPES:
        section.reject("rope.scaling.type", f"one of {', '.join(map(repr, _TYPES))}", name)
        return Default()
    factor = _factor(section, name)
    divided = _of_tensors(file, plain, factor)
    if divided is None:
        return _by_factor(name, factor, file)
    if name == "yarn" and factor != 1:
        section.findings.problem(
            "scaling type 'yarn' beside tensors of divisors cannot be expressed; convert the model again without one"
        )
    return divided


def _factor(section: Section, name: str) -> float:
    """Return what llama.cpp divides every angle by; 0 is how the writer says "none"."""
    factor = section.number("rope.scaling.factor", "rope.scale_linear", above=-1)
    return float(factor) if factor and name != "none" else 1.0


def _of_tensors(file: Divided, plain: RopeConfig, factor: float) -> Scaling | None:
    """Return the rope type where the file has tensors of divisors."""
    if "rope_freqs" in file.divisors:
        return _divided(file.divisors["rope_freqs"], file.section, plain, factor)
    if "rope_factors_long" in file.divisors or "rope_factors_short" in file.divisors:
        return _longrope(file, factor)
    return None


def _by_factor(name: str, factor: float, file: Divided) -> Scaling:
    if name == "longrope":
        file.section.findings.problem(
            "scaling type 'longrope' needs the tensors rope_factors_long and rope_factors_short"
        )
        return Default()
    alpha = file.section.number("rope.scaling.alpha", above=-1) if file.row.alpha else None
    if alpha:
        return Ntk(factor=alpha)
    if factor == 1:
        return Default()
    return Linear(factor=factor) if name == "linear" else _yarn(factor, file)


def _yarn(factor: float, file: Divided) -> Yarn:
    """YaRN; yarn_log_multiplier is mscale_all_dim, which DeepSeek's converter multiplies by 0.1."""
    section = file.section
    extrapolation = section.number("rope.scaling.yarn_ext_factor")
    if extrapolation is not None and extrapolation >= 0 and extrapolation != 1:  # below 0: llama.cpp's default, 1
        section.reject("rope.scaling.yarn_ext_factor", "1 (YaRN) or negative (not stated)", extrapolation)
    multiplier = section.number("rope.scaling.yarn_log_multiplier", above=-1) or 0.0
    all_dim = multiplier / 0.1 if file.row.softmax else float(multiplier)
    mscale = all_dim if file.row.softmax else 1.0
    _note_unread_gain(section)
    return Yarn(
        factor=factor,
        original_max_position_embeddings=section.integer("rope.scaling.original_context_length"),
        attn_factor=float(section.number("rope.scaling.attn_factor", above=0) or 1.0),
        beta_fast=float(section.number("rope.scaling.yarn_beta_fast", above=0) or 32.0),
        beta_slow=float(section.number("rope.scaling.yarn_beta_slow", above=0) or 1.0),
        mscale=mscale if all_dim else None,
        mscale_all_dim=all_dim or None,
    )


def _note_unread_gain(section: Section) -> None:
    """Converters write transformers' attention_factor there, and llama.cpp computes YaRN's own."""
    found = section.find("rope.scaling.yarn_attn_factor")
    if found is not None and found[1] != 1:
        section.findings.note(f"{section.where(found[0])} ({found[1]:g}) has no effect in llama.cpp, nor here")


def _longrope(file: Divided, factor: float) -> LongRope:
    section = file.section
    missing = [name for name in ("rope_factors_long", "rope_factors_short") if name not in file.divisors]
    if missing:
        section.findings.problem(f"tensor {missing[0]} is required beside the other one and missing")
    short = file.divisors.get("rope_factors_short", ())
    long = file.divisors.get("rope_factors_long", short)
    return LongRope(
        long_factor=tuple(factor * divisor for divisor in long),
        short_factor=tuple(factor * divisor for divisor in short),
        original_max_position_embeddings=section.integer("rope.scaling.original_context_length"),
        attention_factor=float(section.number("rope.scaling.attn_factor", above=0) or 1.0),
    )


def _divided(divisors: tuple[float, ...], section: Section, plain: RopeConfig, factor: float) -> Scaling:
    """Return Llama 3.1's rope type where the tensor holds its divisors, else the divisors themselves."""
    given = Divisors(divisor=tuple(factor * divisor for divisor in divisors))
    if len(divisors) != plain.pairs:
        return given  # RopeConfig says what is wrong
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
