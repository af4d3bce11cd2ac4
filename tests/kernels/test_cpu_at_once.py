"""By angles that exist the C kernel is called at once: it takes what the checks allow, and they say what is wrong."""

import numpy as np
import pytest

import tightrope
from tightrope.rope.scaling.default import Default

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.backend("torch")

ROPE = tightrope.RopeConfig(head_dim=32, rotary_dim=24, base=1e4, layout="half", scaling=Default())


@pytest.fixture
def rotary(native):
    from tightrope.backends.torch import RotaryEmbedding

    return RotaryEmbedding(ROPE)


@pytest.fixture
def unchecked(monkeypatch):
    """Every way to the checks closed."""
    from tightrope.backends.shared.rotary import RotaryBase
    from tightrope.backends.torch import module

    def closed(*arguments, **how):
        raise AssertionError("this call went through the checks")

    monkeypatch.setattr(RotaryBase, "_checked_rope", closed)
    monkeypatch.setattr(module, "rotate_given", closed)


def drawn(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def rotated(rotary, q, k, cos, sin):
    """q and k by every way of giving angles."""
    from tightrope.backends.torch import rotate

    yield rotary(q, k, angles=(cos, sin))
    yield rotary.rotate_(q.clone(), k.clone(), angles=(cos, sin))
    yield rotate(q, k, cos=cos, sin=sin, layout="half")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_what_fits_needs_no_check(rotary, unchecked, dtype):
    q, k = drawn(2, 4, 5, 32, dtype=dtype), drawn(2, 2, 5, 32, dtype=dtype)
    cos, sin = rotary.cos_sin(torch.arange(5))
    ways = [*rotated(rotary, q, k, cos, sin), rotary(q, k, angles=rotary.angles(offset=0, length=5))]
    assert all(torch.equal(x, y) for way in ways for x, y in zip(way, ways[0], strict=True))


@pytest.mark.parametrize("change", ["float64", "float16", "every other pair"])
def test_cos_and_sin_that_the_kernel_cannot_read_are_converted(rotary, change):
    q, k = drawn(2, 4, 5, 32), drawn(2, 2, 5, 32)
    half = [part.to(torch.float16) for part in rotary.cos_sin(torch.arange(5))]
    wide = [part.float().repeat_interleave(2, -1)[..., ::2] for part in half]
    given = wide if change == "every other pair" else [part.to(getattr(torch, change)) for part in half]
    plain = rotary(q, k, angles=tuple(part.float().contiguous() for part in half))
    for way in rotated(rotary, q, k, *given):
        assert all(torch.equal(x, y) for x, y in zip(way, plain, strict=True))


def tables(batch=1, seq=5, pairs=12):
    return torch.ones(batch, seq, pairs), torch.zeros(batch, seq, pairs)


WRONG = {
    "tokens": lambda: {"angles": tables(seq=4)},
    "rows": lambda: {"angles": tables(batch=3)},
    "pairs": lambda: {"angles": tables(pairs=8)},
    "axes of cos": lambda: {"angles": tuple(part[0] for part in tables())},
    "cos unlike sin": lambda: {"angles": (tables()[0], tables(seq=1)[1])},
    "integer cos": lambda: {"angles": tuple(part.int() for part in tables())},
    "no tensors": lambda: {"angles": ([1.0], [0.0])},
    "neither pair nor angles": lambda: {"angles": tables()[0]},
    "axes of q": lambda: {"q": drawn(2, 4, 5)},
    "width of q": lambda: {"q": drawn(2, 4, 5, 16)},
    "width of k": lambda: {"k": drawn(2, 4, 5, 16)},
    "tokens of k": lambda: {"k": drawn(2, 4, 6, 32)},
    "rows of k": lambda: {"angles": tables(batch=2), "k": drawn(3, 4, 5, 32)},
    "integer q": lambda: {"q": drawn(2, 4, 5, 32).int()},
    "an array of numpy": lambda: {"q": np.ones((2, 4, 5, 32), np.float32)},
    "order": lambda: {"order": "sbhd"},
    "packed tokens by rows": lambda: {
        "angles": tables(2, 3),
        "q": drawn(6, 4, 32),
        "k": drawn(6, 2, 32),
        "order": "thd",
    },
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("in_place", [False, True])
def test_what_is_wrong_is_said_as_without_the_kernel(rotary, native, monkeypatch, wrong, in_place):
    call = rotary.rotate_ if in_place else rotary

    def message():
        given = {"q": drawn(2, 4, 5, 32), "k": drawn(2, 2, 5, 32), "angles": tables()} | wrong()
        with pytest.raises(tightrope.RopeConfigError) as raised:
            call(given.pop("q"), given.pop("k"), **given)
        return str(raised.value)

    with_kernel = message()
    monkeypatch.setattr(native, "kernel", None)
    assert message() == with_kernel


@pytest.mark.parametrize("word", ["layout", "side", "order"])
def test_a_word_that_is_not_known_is_refused(native, word):
    from tightrope.backends.torch import rotate

    cos, sin = tables()
    with pytest.raises(tightrope.RopeConfigError, match=f"{word} must be one of"):
        rotate(drawn(2, 4, 5, 32), cos=cos, sin=sin, **{"layout": "half", word: "whole"})


def test_angles_of_another_rope_are_refused(rotary):
    from tightrope.backends.torch import RotaryEmbedding

    narrow = RotaryEmbedding(
        tightrope.RopeConfig(head_dim=32, rotary_dim=8, base=1e4, layout="half", scaling=Default())
    )
    with pytest.raises(tightrope.RopeConfigError, match="angles hold 4 pairs, this rope rotates 12"):
        rotary(drawn(2, 4, 5, 32), angles=narrow.angles(offset=0, length=5))
