"""A small rope with something to rotate by it, and the bits of the definition, for tests of who is called."""

import numpy as np

from tightrope.rope.config import RopeConfig
from tightrope.rope.reference import cos_sin_bits, rotate_bits

CONFIG = RopeConfig(head_dim=16, rotary_dim=8, base=1e4, layout="half")
BATCH, HEADS, SEQ = 2, 3, 5
RNG = np.random.default_rng(7)
Q, K = RNG.standard_normal((BATCH, HEADS, SEQ, 16)), RNG.standard_normal((BATCH, 1, SEQ, 16))
POSITIONS = np.array([[3, 1, 4, 1, 5], [-9, 2, 6, 5, 2**33]])


def expected(x):
    cos, sin = cos_sin_bits(CONFIG, POSITIONS)
    return rotate_bits(x.astype(np.float32), cos[:, None], sin[:, None], layout=CONFIG.layout, side=CONFIG.side)
