"""What position does outside the rotation: the temperature of the query, the factor on the attention logits."""

from collections.abc import Iterable

from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.reading.section import Section
from tightrope.rope.scaling import Scaling
from tightrope.rope.scaling.yarn import Yarn


def softmax_scale(ropes: Iterable[RopeConfig]) -> float:
    """Return the factor on the attention logits that YaRN's mscale_all_dim asks for, 1 where no rope has it."""
    yarns = ((rope, rope.scaling) for rope in ropes)
    return max((scaling.softmax_scale(rope) for rope, scaling in yarns if isinstance(scaling, Yarn)), default=1.0)


def llama4(section: Section, block: Section, scaling: Scaling) -> QueryScale | None:
    """Llama 4: attn_scale (0.1) over floor_scale (8192) positions, counted from 1."""
    if section.flag("attn_temperature_tuning") is False:
        return None
    beta = section.number("attn_scale")
    length = section.integer("floor_scale")
    return QueryScale(beta=0.1 if beta is None else beta, length=length or 8192, shift=1)


def ministral(section: Section, block: Section, scaling: Scaling) -> QueryScale | None:
    """Ministral 3, Mistral 4: the block's llama_4_scaling_beta over its original length."""
    beta = block.number("llama_4_scaling_beta")
    length: int | None = getattr(scaling, "original_max_position_embeddings", None)
    return QueryScale(beta=beta, length=length) if beta and length else None


def beam(section: Section, block: Section, scaling: Scaling) -> QueryScale | None:
    """Beam: (1 + (p + 1) / 2048) ** 0.1 in the layers without position."""
    return QueryScale(beta=0.1, length=2048, shift=1, form="power")
