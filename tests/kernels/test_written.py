"""Every element that a kernel returns was written: sizes of one, any strides, and calls that no kernel can take."""

from itertools import product

import numpy as np
import pytest

from tightrope.rope import reference

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.backend("torch")

SENTINEL = 12345.0


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Memory that nobody has written holds a number that no rotation gives."""
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda x, **how: empty_like(x, **how).fill_(SENTINEL))


# How cos and sin may lie: (batch, seq, pairs) with a last stride other than one, also where its length hides that.
STRIDES = {
    "whole": lambda part: part.contiguous(),
    "laid out twice": lambda part: part.repeat_interleave(2, -1)[..., ::2],
    "pairs first": lambda part: part.permute(2, 0, 1).contiguous().permute(1, 2, 0),
    "broadcast": lambda part: part[..., :1].contiguous().expand(part.shape),
    "half precision": lambda part: part.to(torch.float16),
    "half precision, laid out twice": lambda part: part.to(torch.float16).repeat_interleave(2, -1)[..., ::2],
}
SIZES = list(product((1, 2), (1, 3), (1, 2), (1, 4)))
"""batch of the angles, heads, seq, pairs"""


def drawn(batch, heads, seq, pairs):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2, heads, seq, 2 * pairs)).astype(np.float32)
    return torch.from_numpy(x), *(torch.from_numpy(rng.random((batch, seq, pairs), np.float32)) for _ in range(2))


def wanted(x, cos, sin):
    cos, sin = (part.float().numpy()[:, None] for part in (cos, sin))
    return torch.from_numpy(reference.rotate_bits(x.numpy(), cos, sin, layout="half"))


@pytest.mark.parametrize("lie", STRIDES.values(), ids=STRIDES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_cos_and_sin_of_any_size_and_strides_rotate(native, lie, size):
    from tightrope.backends.torch import rotate

    x, cos, sin = drawn(*size)
    cos, sin = lie(cos), lie(sin)
    assert torch.equal(rotate(x, cos=cos, sin=sin, layout="half"), wanted(x, cos, sin))


@pytest.mark.parametrize("lie", STRIDES.values(), ids=STRIDES)
@pytest.mark.parametrize("layout", ["half", "halves"])
def test_in_place_the_smallest_tables_rotate(native, lie, layout):
    import tightrope
    from tightrope.backends.torch import RotaryEmbedding

    width = 4 if layout == "halves" else 2
    rope = RotaryEmbedding(tightrope.RopeConfig(head_dim=width, rotary_dim=width, base=1e4, layout=layout))
    x, cos, sin = (part[:1] for part in drawn(1, 1, 1, width // 2))
    cos, sin = lie(cos), lie(sin)
    halves = [wanted(part, cos[..., i : i + 1], sin[..., i : i + 1]) for i, part in enumerate(x.split(2, -1))]
    rope.rotate_(x, angles=(cos, sin))
    assert torch.equal(x, torch.cat(halves, -1))


def test_a_kernel_that_declines_returns_nothing(native, monkeypatch):
    """Whatever the extension says no to, no output comes back: the call is served otherwise, or raises."""
    from tightrope.backends.torch import rotate

    class Declining:
        variants = ("avx2",)

        def rotate(self, *arguments):
            raise ValueError("declined")

    x, cos, sin = drawn(1, 3, 2, 4)
    monkeypatch.setattr(native, "kernel", native.CpuKernel(Declining(), "avx2", 0))
    with pytest.raises(ValueError, match="declined"):
        rotate(x, cos=cos, sin=sin, layout="half")
    in_place = x.clone()
    with pytest.raises(ValueError, match="declined"):
        native.kernel.rotate(
            (in_place,), (in_place,), _table(cos, sin), layout="half", side="head", order="bhsd", transpose=False
        )
    assert torch.equal(in_place, x)


def _table(cos, sin):
    from tightrope.backends.shared.angles import Table

    return Table(cos=cos, sin=sin)


@pytest.mark.parametrize("backend", [pytest.param("torch"), pytest.param("mlx", marks=pytest.mark.backend("mlx"))])
def test_angles_of_no_pair_are_refused(backend):
    import tightrope

    loaded = tightrope.load_backend(backend)
    x, none = (loaded.asarray(np.ones(shape), "float32", "cpu") for shape in ((1, 1, 2, 4), (1, 2, 0)))
    with pytest.raises(tightrope.RopeConfigError, match="at least one pair"):
        loaded.rotate(x, cos=none, sin=none, layout="half")
