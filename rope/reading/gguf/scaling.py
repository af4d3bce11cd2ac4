"""The rope type of a GGUF file: its rope.scaling keys and its tensors of divisors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reading.gguf.architectures import SOFTMAX
from tightrope.rope.reading.section import Section
from tightrope.rope.scaling import Scaling
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.divisors import Divisors
from tightrope.rope.scaling.linear import Linear
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.ntk import Ntk
from tightrope.rope.scaling.yarn import Yarn, attention_gain

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
        architecture: Its name.
    """

    section: Section
    divisors: Mapping[str, tuple[float, ...]]
    architecture: str


def scaling_of(file: Divided, plain: RopeConfig) -> Scaling:
    """Return the rope type of a file whose rope is otherwise `plain`."""
    section = file.section
    name = section.text("rope.scaling.type") or "linear"
    if name not in _TYPES:
        section.reject("rope.scaling.type", f"one of {', '.join(map(repr, _TYPES))}", name)
        return Default()
    if "rope_freqs" in file.divisors:
        return _divided(file.divisors["rope_freqs"], section, plain)
    if "rope_factors_long" in file.divisors or "rope_factors_short" in file.divisors:
        return _longrope(file, section)
    if name == "longrope":
        section.findings.problem("scaling type 'longrope' needs the tensors rope_factors_long and rope_factors_short")
        return Default()
    return _by_factor(name, file, section)


def _by_factor(name: str, file: Divided, section: Section) -> Scaling:
    alpha = section.number("rope.scaling.alpha", above=-1)
    if alpha:
        return Ntk(factor=alpha)
    factor = section.number("rope.scaling.factor", "rope.scale_linear", above=-1)
    if not factor or factor == 1 or name == "none":  # 0 is how the writer says "none"
        return Default()
    return Linear(factor=factor) if name == "linear" else _yarn(float(factor), file, section)


def _yarn(factor: float, file: Divided, section: Section) -> Yarn:
    """YaRN; yarn_log_multiplier is mscale_all_dim, which DeepSeek's converter multiplies by 0.1."""
    extrapolation = section.number("rope.scaling.yarn_ext_factor")
    if extrapolation is not None and extrapolation >= 0 and extrapolation != 1:  # below 0: llama.cpp's default, 1
        section.reject("rope.scaling.yarn_ext_factor", "1 (YaRN) or negative (not stated)", extrapolation)
    multiplier = section.number("rope.scaling.yarn_log_multiplier", above=-1) or 0.0
    all_dim = multiplier / 0.1 if file.architecture in SOFTMAX else float(multiplier)
    mscale = all_dim if file.architecture in SOFTMAX else 1.0
    own = section.number("rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor", above=0)
    stated = None
    if own is not None and own != 1:
        gain = attention_gain(factor, mscale) / attention_gain(factor, all_dim) if all_dim else attention_gain(factor)
        stated = gain * own
    return Yarn(
        factor=factor,
        original_max_position_embeddings=section.integer("rope.scaling.original_context_length"),
        attention_factor=stated,
        beta_fast=float(section.number("rope.scaling.yarn_beta_fast", above=0) or 32.0),
        beta_slow=float(section.number("rope.scaling.yarn_beta_slow", above=0) or 1.0),
        mscale=mscale if all_dim else None,
        mscale_all_dim=all_dim or None,
    )


def _longrope(file: Divided, section: Section) -> LongRope:
    missing = [name for name in ("rope_factors_long", "rope_factors_short") if name not in file.divisors]
    if missing:
        section.findings.problem(f"tensor {missing[0]} is required beside the other one and missing")
    long = file.divisors.get("rope_factors_long") or file.divisors["rope_factors_short"]
    return LongRope(
        long_factor=long,
        short_factor=file.divisors.get("rope_factors_short") or long,
        original_max_position_embeddings=section.integer("rope.scaling.original_context_length"),
        attention_factor=float(section.number("rope.scaling.attn_factor", above=0) or 1.0),
    )


def _divided(divisors: tuple[float, ...], section: Section, plain: RopeConfig) -> Scaling:
    """Return Llama 3.1's rope type where the tensor holds its divisors, else the divisors themselves."""
    given = Divisors(divisor=divisors)
    if len(divisors) != plain.pairs:
        return given  # RopeConfig says what is wrong
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
