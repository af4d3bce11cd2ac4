"""The rope type of a GGUF file by its rope.scaling keys; tensors of divisors are read in `tensors`."""

from dataclasses import replace
from typing import Final

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.reading.gguf.columns import Architecture, LogMultiplier
from tightrope.rope.reading.gguf.tensors import Divided, divided_by
from tightrope.rope.reading.section import Section
from tightrope.rope.scaling import Scaling
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.divisors import Divisors
from tightrope.rope.scaling.linear import Linear
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.ntk import Ntk
from tightrope.rope.scaling.yarn import Yarn, attention_gain

_TYPES: Final = ("none", "linear", "yarn", "longrope")


def scaling_of(file: Divided, plain: RopeConfig) -> Scaling:
    """Return the rope type of a file whose rope is otherwise `plain`.

    llama.cpp divides the angle by the factor and by the pair's divisor, whichever of the two a file has, and multiplies
    cos and sin by attn_factor.
    """
    section = file.section
    name = section.text("rope.scaling.type") or "linear"
    if name not in _TYPES:
        section.reject("rope.scaling.type", f"one of {', '.join(map(repr, _TYPES))}", name)
        return Default()
    factor = _factor(file, name)
    divided = divided_by(file, plain, name, factor)
    if divided is None:
        return _by_factor(name, factor, file, plain)
    if name == "yarn" and factor != 1:
        section.findings.problem(
            "scaling type 'yarn' beside tensors of divisors cannot be expressed; convert the model again without one"
        )
    return _with_gain(section, divided, plain)


def gain_alone(section: Section, plain: RopeConfig) -> Scaling:
    """Return the rope type of layers that nothing scales but attn_factor."""
    return _with_gain(section, Default(), plain)


def logits_factor(row: Architecture, section: Section) -> float:
    """Return the factor on the attention logits of latent attention, as llama.cpp computes it.

    (attn_factor · a · (0.1 · mscale_all_dim · ln(factor) + 1))², where a is YaRN's factor on cos and sin
    """
    if not row.softmax:
        return 1.0
    name = section.text("rope.scaling.type") or "linear"
    stated = section.number("rope.scaling.factor", "rope.scale_linear", above=-1)
    factor = float(stated) if stated and name != "none" else 1.0
    weight = _multiplier(row.log_multiplier, section)
    own = _own_gain(row.log_multiplier, weight, factor) if name == "yarn" else attention_gain(factor)
    return (_gain(section) * own * attention_gain(factor, weight)) ** 2


def _factor(file: Divided, name: str) -> float:
    """Return what llama.cpp divides every angle by; 0 is how the writer says "none"."""
    section = file.section
    factor = section.number("rope.scaling.factor", "rope.scale_linear", above=-1)
    if name == "none" and factor not in (None, 0, 1) and file.row.slides_scaled:
        section.findings.problem(
            f"{section.where('rope.scaling.type')} 'none' beside rope.scaling.factor {factor:g}: llama.cpp scales the "
            "sliding layers all the same; take the factor away"
        )
    return float(factor) if factor and name != "none" else 1.0


def _gain(section: Section) -> float:
    return float(section.number("rope.scaling.attn_factor", above=0) or 1.0)


def _with_gain(section: Section, scaling: Scaling, plain: RopeConfig) -> Scaling:
    """Return the rope type with attn_factor in it."""
    gain = _gain(section)
    if gain == 1 or isinstance(scaling, LongRope):
        return scaling
    section.findings.note(f"{section.where('rope.scaling.attn_factor')} {gain:g} multiplies cos and sin")
    if isinstance(scaling, Divisors):
        return replace(scaling, attention_factor=gain)
    if isinstance(scaling, Ntk):
        section.findings.problem(
            f"{section.where('rope.scaling.attn_factor')} beside rope.scaling.alpha cannot be expressed; take it away"
        )
    factor = scaling.factor if isinstance(scaling, Linear) else 1.0
    return Divisors(divisor=(float(factor),) * plain.pairs, attention_factor=gain)


def _by_factor(name: str, factor: float, file: Divided, plain: RopeConfig) -> Scaling:
    section = file.section
    if name == "yarn" and factor != 1:
        return _yarn(factor, file, plain)
    alpha = section.number("rope.scaling.alpha", above=-1) if file.row.alpha else None
    if alpha:
        return _with_gain(section, Ntk(factor=alpha), plain)
    return _with_gain(section, Default() if factor == 1 else Linear(factor=factor), plain)


def _yarn(factor: float, file: Divided, plain: RopeConfig) -> Scaling:
    section, row = file.section, file.row
    extrapolation = section.number("rope.scaling.yarn_ext_factor") if row.extrapolation else None
    extrapolation = 1.0 if extrapolation is None or extrapolation < 0 else float(extrapolation)  # below 0: not stated
    if extrapolation == 0:  # llama.cpp's YaRN is switched on by it
        return _with_gain(section, Linear(factor=factor), plain)
    fast = section.number("rope.scaling.yarn_beta_fast", above=0) if row.betas else None
    slow = section.number("rope.scaling.yarn_beta_slow", above=0) if row.betas else None
    _note_unread_gain(section)
    weight = _multiplier(row.log_multiplier, section)
    equal = row.log_multiplier is not None and row.log_multiplier.equal
    return Yarn(
        factor=factor,
        original_max_position_embeddings=section.integer("rope.scaling.original_context_length"),
        attn_factor=_gain(section),
        beta_fast=float(fast or 32.0),
        beta_slow=float(slow or 1.0),
        mscale=(weight if equal else 1.0) if weight else None,
        mscale_all_dim=weight or None,
        extrapolation_factor=extrapolation,
    )


def _multiplier(rule: LogMultiplier | None, section: Section) -> float:
    """Return yarn_log_multiplier as mscale_all_dim, 0 where the architecture has none."""
    if rule is None:
        return 0.0
    return float(section.number("rope.scaling.yarn_log_multiplier", above=-1) or 0.0) / rule.unit


def _own_gain(rule: LogMultiplier | None, weight: float, factor: float) -> float:
    """Return the factor on cos and sin that YaRN's parameters give."""
    if rule is None or not weight:
        return attention_gain(factor)
    return 1.0 if rule.equal else attention_gain(factor) / attention_gain(factor, weight)


def _note_unread_gain(section: Section) -> None:
    """Converters write transformers' attention_factor there, and llama.cpp computes YaRN's own."""
    found = section.find("rope.scaling.yarn_attn_factor")
    if found is not None and found[1] != 1:
        section.findings.note(f"{section.where(found[0])} ({found[1]:g}) has no effect in llama.cpp, nor here")
