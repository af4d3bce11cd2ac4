"""Families whose attention keeps its own table of angles, or wraps the apply function in a way of its own."""

import importlib
from functools import cache

import torch

from sweep.subjects.discovery import RotaryClass
from sweep.theirs.driving import Rope, head_dim


class ClvpRope(Rope):
    """CLVP: the rotary module takes a length, not positions; the apply function indexes and also rotates the values."""

    def angles(self, positions, module=None):
        angles = (module or self.fresh())(torch.zeros(1, int(positions.max()) + 1, 1)).squeeze(0)
        return angles.cos(), angles.sin(), torch.from_numpy(positions)

    def _part(self):
        return slice(0, 2 * len(self.fresh().inv_freq))

    def _within_heads(self, q, k, angles):
        part = self._part()
        rotated = self.module.apply_rotary_pos_emb(q[..., part], k[..., part], k[..., part], *angles)
        return tuple(torch.cat((y, x[..., part.stop :]), -1) for x, y in zip((q, k), rotated[:2], strict=True))


class FirstHeadRope(Rope):
    """Qwen2.5-Omni's DiT: only head 0 is rotated, and taken apart into halves before it. Drive it with one head."""

    moves_pairs = True

    def _within_heads(self, q, k, angles):
        apart = self.module.deinterleave_head_dim
        return self.module.apply_rotary_pos_emb(apart(q), apart(k), *angles)


class TableRope(Rope):
    """CodeGen and GPT-J: sin and cos are looked up in a table, by attention itself before transformers 5.24."""

    axes = 1

    def _part(self):
        return slice(0, self._width)

    @property
    def _width(self) -> int:
        return self.config.rotary_dim or self.config.hidden_size

    def angles(self, positions, module=None):
        table = self.module.create_sinusoidal_positions(int(positions.max()) + 1, self._width)
        sin, cos = table[torch.from_numpy(positions)].chunk(2, dim=-1)
        return sin, cos

    def inv_freq(self, positions):
        return None

    def _within_heads(self, q, k, angles):
        return tuple(self._one(x, angles) for x in (q, k))

    def _one(self, x, angles):
        part = self._part()
        rotated = self.module.apply_rotary_pos_emb(x.transpose(1, 2)[..., part], *angles).transpose(1, 2)
        return torch.cat((rotated, x[..., rotated.shape[-1] :]), -1)


class RoFormerRope(Rope):
    """RoFormer: an embedding of sines and cosines."""

    axes = 1
    moves_pairs = False

    def angles(self, positions, module=None):
        table = _sinusoidal(self.module.RoFormerSinusoidalPositionalEmbedding, head_dim(self.config), _LONGEST)
        return (table[torch.from_numpy(positions)][:, None],)

    def inv_freq(self, positions):
        return None

    def _within_heads(self, q, k, angles):
        return self.module.RoFormerSelfAttention.apply_rotary_position_embeddings(*angles, q, k)


_LONGEST = 131_080


@cache  # it is filled in Python, number by number: 13 s
def _sinusoidal(embedding: type, width: int, length: int) -> torch.Tensor:
    return embedding(length, width).create_weight()


# By the rotary class, or by the family where it has none: (way of driving, configuration class).
SPECIAL = {
    "ClvpRotaryPositionalEmbedding": ClvpRope,
    "Qwen2_5OmniDiTRotaryEmbedding": FirstHeadRope,
    "CodeGenRotaryEmbedding": TableRope,
    "GPTJRotaryEmbedding": TableRope,
}
WITHOUT_CLASS = {
    "codegen": (TableRope, "CodeGenConfig"),
    "gptj": (TableRope, "GPTJConfig"),
    "roformer": (RoFormerRope, "RoFormerConfig"),
}


def stand_in(family: str, config_name: str) -> RotaryClass:
    """Return a stand-in for the rotary class of a family that has none: it says where the apply function is."""
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    name = config_name.removesuffix("Config")
    return RotaryClass(family, type(name, (), {"__module__": module.__name__}), (getattr(module, config_name),))
