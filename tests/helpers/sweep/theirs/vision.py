"""Vision towers: two or three position axes, one row of positions per patch.

Positions come as (axes, batch, patches); the axes are the columns that the family's rotary module takes.
"""

import inspect

import numpy as np
import torch

from sweep.subjects.discovery import RotaryClass
from sweep.theirs.driving import Rope, source
from tightrope.rope.positions import centre_positions, grid_positions

FLAT = "apply_rotary_pos_emb_vision"


class AxialRope(Rope):
    """Patches rotated by (row, column), or (frame, row, column)."""

    @property
    def axes(self) -> int:
        return 3 if self.rotary.family == "minimax_m3_vl" else 2

    @property
    def head_dim(self) -> int:
        config = self.config
        if "config.embed_dim" in inspect.getsource(self.rotary.cls):  # hidden_size is the text model's there
            return config.embed_dim // config.num_heads
        if (width := getattr(config, "memory_attention_hidden_size", None)) is not None:
            return width // config.memory_attention_downsample_rate // config.memory_attention_num_attention_heads
        return super().head_dim

    moves_pairs = False
    scales = (1, 37)
    """By how much the grids that it is tried on are stretched."""

    def grids(self) -> list[np.ndarray]:
        """Return grids of patches to try it on, (axes, batch, patches)."""
        return [_grid(self.axes) * scale for scale in self.scales]

    def angles(self, positions, module=None):
        """Return one pair (cos, sin) per row of the batch."""
        module = module or self.fresh()
        rows = torch.from_numpy(positions).movedim(0, -1)
        if "freq[:, :, 0]" in source(type(module).recomposition_frequencies):
            return tuple(module(torch.zeros(1), row[None]) for row in rows)
        return tuple(module(torch.zeros(1), row) for row in rows)

    def inv_freq(self, positions):
        found = getattr(self.fresh(), "inv_freq", None)
        return None if found is None else self._of_every_axis(found.numpy())

    def _of_every_axis(self, inv_freq: np.ndarray) -> np.ndarray:
        """Return a frequency per pair: a class keeps those of one axis, Pixtral's those of all."""
        return np.tile(inv_freq, 1 if self.rotary.family == "pixtral" else self.axes)

    def rotate(self, q, k, positions):
        rotated = [
            self._row(torch.from_numpy(q[[row]]), torch.from_numpy(k[[row]]), *angles, positions[:, row])
            for row, angles in enumerate(self.angles(positions))
        ]
        return tuple(torch.cat(x).numpy() for x in zip(*rotated, strict=True))

    def _row(self, q, k, cos, sin, positions):
        module = self.module
        if hasattr(module, "apply_multidimensional_rope"):
            ids = torch.from_numpy(positions.T)[None]
            return tuple(
                module.apply_multidimensional_rope(x.transpose(1, 2), cos, sin, ids).transpose(1, 2) for x in (q, k)
            )
        if hasattr(module, FLAT):
            rotated = getattr(module, FLAT)(q[0].transpose(0, 1), k[0].transpose(0, 1), cos, sin)
            return tuple(x.transpose(0, 1)[None] for x in rotated)
        for name in ("apply_rotary_pos_emb_2d", "apply_rotary_pos_emb_2d_self_attn"):
            if hasattr(module, name):
                return getattr(module, name)(q, k, cos=cos, sin=sin)
        return module.apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=0)


def _grid(axes: int) -> np.ndarray:
    """Return two grids of 4 × 6 patches, (axes, 2, 24), the second shifted."""
    sides = (1, 4, 6)[-axes:]
    grid = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij")).reshape(axes, -1)
    return np.stack([grid + 1, grid + 5], axis=1).astype(np.int64)


class WindowedRope(AxialRope):
    """SAM 3: within windows whole positions, without them a third of it: the window has a third of the image's side."""

    def grids(self) -> list[np.ndarray]:
        """Return grids of a window and of an image."""
        whole = self.module.Sam3ViTLayer.precompute_positions(self.config, window_size=0).numpy()
        return [*super().grids(), whole.T[:, None].copy()]


class Llama4VisionRope(AxialRope):
    """Llama 4: a table for one image, computed at once; the column first, both from 1, the class token last, at 0."""

    def grids(self) -> list[np.ndarray]:
        """Return the positions of a whole image, (2, 1, tokens)."""
        side = self.config.image_size // self.config.patch_size
        return [grid_positions([[side, side]], first="column", start=1, after=1)]

    def angles(self, positions, module=None):
        return (((module or self.fresh())(torch.zeros(1))[:, 0], None),)

    def _row(self, q, k, cos, sin, positions):
        rotated = self.module.vision_apply_rotary_emb(q.transpose(1, 2), k.transpose(1, 2), cos[:, None])
        return tuple(x.transpose(1, 2) for x in rotated)


class CoordinateRope(AxialRope):
    """DINOv3 and its kin: the centres of the patches of an image, which the class finds out by itself."""

    GRID = (4, 6)

    def grids(self) -> list[np.ndarray]:
        """Return the coordinates of one image behind a class token and four registers, (2, 1, tokens), float32."""
        return [centre_positions(*self.GRID, before=5)]

    def fresh(self) -> torch.nn.Module:
        """Return a new rotary module as it serves: in training it draws other coordinates."""
        return super().fresh().eval()

    def angles(self, positions, module=None):
        patch = self.config.patch_size
        heights = patch if isinstance(patch, list | tuple) else (patch, patch)
        pixels = torch.zeros(1, 3, *(side * height for side, height in zip(self.GRID, heights, strict=True)))
        return ((module or self.fresh())(pixels),)

    def _row(self, q, k, cos, sin, positions):
        return self.module.apply_rotary_pos_emb(q, k, cos, sin)


class WholeWidthRope(AxialRope):
    """EfficientLoFTR: rows and columns counted from 1, over the whole width before it is cut into heads."""

    GRID = (4, 6)

    @property
    def head_dim(self) -> int:
        return self.config.hidden_size

    def grids(self) -> list[np.ndarray]:
        """Return the cells that attention sees, (2, 1, cells)."""
        cells = np.stack(np.meshgrid(*map(np.arange, self.GRID), indexing="ij")).reshape(2, 1, -1)
        return [cells.astype(np.int64) + 1]

    def angles(self, positions, module=None):
        config = self.config
        sides = [(side - 1) * config.q_aggregation_stride + config.q_aggregation_kernel_size for side in self.GRID]
        cos, sin = (module or self.fresh())(torch.zeros(1, 1, *sides))
        return ((cos.flatten(1, 2), sin.flatten(1, 2)),)

    def _row(self, q, k, cos, sin, positions):
        x = (x.transpose(1, 2) for x in (q, k))
        return tuple(x.transpose(1, 2) for x in self.module.apply_rotary_pos_emb(*x, cos, sin, unsqueeze_dim=2))


SPECIAL_GRIDS = {
    "Sam3ViTRotaryEmbedding": WindowedRope,
    "Llama4VisionRotaryEmbedding": Llama4VisionRope,
    "DINOv3ViTRopePositionEmbedding": CoordinateRope,
    "EomtDinov3RotaryEmbedding": CoordinateRope,
    "Sapiens2RopePositionEmbedding": CoordinateRope,
    "EfficientLoFTRRotaryEmbedding": WholeWidthRope,
}


def is_axial(rotary: RotaryClass) -> bool:
    """Return whether a rotary class rotates by the columns of a grid."""
    return hasattr(rotary.cls, "compute_axial_rope_parameters") or rotary.cls.__name__ in SPECIAL_GRIDS


def axial_rope(rotary: RotaryClass, config) -> AxialRope:
    """Return the rope of a vision configuration."""
    return SPECIAL_GRIDS.get(rotary.cls.__name__, AxialRope)(rotary, config)
