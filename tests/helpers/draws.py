"""What Hypothesis draws for the tests of the backends: ropes, shapes, positions, tensors."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st

from tightrope import RopeConfig
from tightrope.rope.config import ALL_LAYOUTS, LAYOUTS, SIDES

FAR = 10_000_000

# Rope types that follow the length, for a head of 8 channels.
ORIGINAL = 16
LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 5.0, 8.0], "factor": 4.0,
    "original_max_position_embeddings": ORIGINAL,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}

# "torch operations": as on a machine without a C compiler.
EVERY_PATH = pytest.mark.parametrize(
    "backend",
    [pytest.param(path, marks=pytest.mark.backend(path.split()[0])) for path in ("torch", "torch operations", "mlx")],
    indirect=True,
)


def rope(**changes):
    """A small ordinary rope."""
    settings = {"head_dim": 8, "rotary_dim": 8, "base": 10000.0, "layout": "half", "max_position_embeddings": 4096}
    return RopeConfig(**settings | changes)


@st.composite
def ropes(draw):
    """A rope of any layout and side, whole or partial."""
    rotary_dim = 2 * draw(st.integers(1, 6))
    head_dim = rotary_dim + draw(st.integers(0, 5))
    layouts = ALL_LAYOUTS if head_dim == rotary_dim and rotary_dim % 4 == 0 else LAYOUTS
    return rope(
        head_dim=head_dim,
        rotary_dim=rotary_dim,
        base=draw(st.sampled_from([100.0, 10000.0, 5e5])),
        layout=draw(st.sampled_from(layouts)),
        side=draw(st.sampled_from(SIDES)),
    )


@dataclass(frozen=True)
class Case:
    """A rope, q in order bhsd as numpy float32, its positions (batch, seq)."""

    rope: RopeConfig
    q: np.ndarray
    positions: np.ndarray


@st.composite
def cases(draw, far=FAR, rows=None):
    """A rope with something to rotate by it."""
    config = draw(ropes())
    batch = draw(st.integers(1, 3)) if rows is None else rows
    shape = batch, draw(st.integers(1, 3)), draw(st.integers(1, 5)), config.head_dim
    positions = np.array(
        draw(st.lists(st.integers(-far, far), min_size=shape[0] * shape[2], max_size=shape[0] * shape[2])), np.int64
    )
    return Case(config, numbers(draw, shape), positions.reshape(shape[0], shape[2]))


def numbers(draw, shape):
    """Normal numbers of that shape, from a drawn seed: the values do not matter, their variety does."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(shape).astype(np.float32)
