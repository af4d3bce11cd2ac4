"""Right and wrong uses of the public call, for type checkers alone: a line that ends in `# wrong` must be reported."""

from typing import assert_type

import mlx.core as mx
import numpy as np
import torch

import tightrope
from tightrope.backends import mlx as on_mlx
from tightrope.backends import torch as on_torch

model = tightrope.read("config.json")
q, k = torch.ones(1, 4, 3, 8), torch.ones(1, 2, 3, 8)
xq, xk = mx.ones((1, 4, 3, 8)), mx.ones((1, 2, 3, 8))

rope = on_torch.RotaryEmbedding(model, precision="exact", policy="row", switch="auto")
assert_type(rope(q), torch.Tensor)
assert_type(rope(q, k, offset=5), tuple[torch.Tensor, torch.Tensor])
assert_type(rope.rotate_(q, k, offset=torch.tensor([5])), tuple[torch.Tensor, torch.Tensor])
rope(q, positions=torch.arange(3), seq_len=[3], layer_type="full_attention", order="bshd")
rope(q, positions=np.arange(3))
rope(q, angles=rope.cos_sin(torch.arange(3)))
rope(q, angles=rope.angles(offset=0, length=3))
rope(q, k, ofset=5)  # wrong
rope(q, k, offset="5")  # wrong
rope(q, k, offset=xq)  # wrong
rope(q, xk)  # wrong
rope(q, k, order="bhds")  # wrong
rope.rotate_(q, k, position=torch.arange(3))  # wrong
on_torch.RotaryEmbedding(model, precision="exakt")  # wrong
on_torch.RotaryEmbedding("config.json")
on_torch.RotaryEmbedding(64)  # wrong
on_torch.RotaryEmbedding(dim=64)  # wrong

rope_mlx = on_mlx.RotaryEmbedding(model, precision="float32")
assert_type(rope_mlx(xq), mx.array)
assert_type(rope_mlx(xq, xk, offset=mx.array([5])), tuple[mx.array, mx.array])
rope_mlx(xq, positions=mx.arange(3), order="thd")
on_mlx.RotaryEmbedding(model, precision="exakt")  # wrong
on_mlx.RotaryEmbedding(dim=64)  # wrong
rope_mlx(q)  # wrong
rope_mlx(xq, k)  # wrong
rope_mlx(xq, offset=5.0)  # wrong
rope_mlx(xq, offset=torch.tensor(5))  # wrong
rope_mlx(xq, layer=3)  # wrong

cos, sin = rope.cos_sin(torch.arange(3))
assert_type(on_torch.rotate(q, cos=cos, sin=sin, layout="half"), torch.Tensor)
assert_type(on_torch.rotate(q, k, cos=cos, sin=sin, layout="half"), tuple[torch.Tensor, torch.Tensor])
on_torch.rotate(q, k, cos=cos, sin=sin)  # wrong
on_torch.rotate(q, cos=cos, sin=sin, layout="neox")  # wrong
on_mlx.rotate(xq, cos=xq, sin=xq, layout="half", side="head", transpose=True)
on_mlx.rotate(q, cos=xq, sin=xq, layout="half")  # wrong

chosen = tightrope.load_backend("torch").RotaryEmbedding(model)
first, second = chosen(q, k, offset=5)
chosen(q, k, ofset=5)  # wrong
tightrope.load_backend("mlx").RotaryEmbedding(model, precison="exact")  # wrong
