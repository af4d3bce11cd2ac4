"""The C kernel is called at once, by angles or positions; it takes what the checks allow, they say what is wrong."""

import numpy as np
import pytest

import tightrope
from harness.frames import frames
from tightrope.rope.config.mrope import MRope
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.yarn import Yarn

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


LONG = LongRope(short_factor=(1.0,) * 12, long_factor=(2.0,) * 12, original_max_position_embeddings=20)
ROPES = {
    "plain": ROPE,
    "interleaved tail": ROPE.replace(layout="interleaved", side="tail"),
    "attention factor": ROPE.replace(scaling=Yarn(factor=4.0, original_max_position_embeddings=64)),
    "three axes": ROPE.replace(mrope=MRope(sections=(4, 4, 4))),
    "two tables": ROPE.replace(scaling=LONG, max_position_embeddings=40),
}
# Three rows of five tokens; packed tokens are one row.
WHERE = {
    "nothing": {},
    "an int": {"offset": 7},
    "a negative int": {"offset": -(2**40) - 3},
    "up to the switch": {"offset": 15},
    "beyond the switch": {"offset": 16},
    "one offset": {"offset": torch.tensor(9)},
    "one offset of one row": {"offset": torch.tensor([9], dtype=torch.int32)},
    "an offset for each row": {"offset": torch.tensor([3, -2, 2**50])},
    "every other offset": {"offset": torch.tensor([3, 0, 9, 0, 17, 0], dtype=torch.int32)[::2]},
    "positions": {"positions": torch.tensor([4, 0, 31, 2**45, -7])},
    "positions of rows": {"positions": torch.arange(15).reshape(3, 5) * 7},
    "positions side by side": {"positions": torch.arange(15, dtype=torch.int32).reshape(5, 3).T},
    "positions for all rows": {"positions": torch.arange(5).expand(3, 5)},
    "one axis": {"positions": torch.arange(15).reshape(1, 3, 5)},
    "axes": {"positions": torch.arange(45).reshape(3, 3, 5) % 17},
}


def by_position(rope, where, order, dtype):
    shape = {"bhsd": (3, 4, 5, 32), "bshd": (3, 5, 4, 32), "thd": (5, 4, 32)}[order]
    q, k = drawn(*shape, dtype=dtype), drawn(*shape, dtype=dtype)[..., :1, :, :].contiguous()
    try:
        return rope(q, k if order == "bhsd" else q, order=order, **where)
    except tightrope.RopeConfigError as error:
        return str(error)


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("config", ROPES.values(), ids=ROPES)
def test_by_position_the_bits_and_words_are_those_behind_the_checks(native, monkeypatch, config, where):
    from tightrope.backends.torch import RotaryEmbedding

    cases = [("bhsd", torch.float32), ("bshd", torch.bfloat16), ("thd", torch.float16)]
    rope = RotaryEmbedding(config)
    at_once = [by_position(rope, where, *case) for case in cases]
    monkeypatch.setattr(RotaryEmbedding, "_rotated_at_once", lambda *arguments: None)
    for got, case in zip(at_once, cases, strict=True):
        expected = by_position(rope, where, *case)
        assert got == expected if isinstance(expected, str) else all(map(torch.equal, got, expected))


@pytest.mark.parametrize(
    "where", ["nothing", "an int", "an offset for each row", "positions", "positions of rows", "one axis"]
)
def test_positions_that_fit_need_no_check(rotary, unchecked, where):
    rotary(drawn(3, 4, 5, 32), drawn(3, 1, 5, 32), **WHERE[where])


def test_an_int_offset_needs_no_check_where_two_tables_switch(native, unchecked):
    from tightrope.backends.torch import RotaryEmbedding

    rope = RotaryEmbedding(ROPES["two tables"])
    rope(drawn(3, 4, 5, 32), offset=15), rope(drawn(3, 4, 5, 32), offset=16)


@pytest.mark.parametrize("offset", [2**63, -(2**63) - 1, 10**40])
def test_an_offset_beyond_64_bits_is_refused(rotary, offset):
    with pytest.raises(tightrope.RopeConfigError, match="offset must"):
        rotary(drawn(1, 1, 1, 32), offset=offset)


def test_a_warm_call_passes_through_few_frames(rotary):
    q, k = drawn(1, 4, 1, 32), drawn(1, 2, 1, 32)
    assert frames(lambda: rotary(q, k, offset=5)) <= 25


def test_q_and_k_that_share_memory_are_not_rotated_in_place(rotary):
    fused = drawn(2, 6, 5, 32)
    q, k = fused[:, :4], fused[:, 3:]
    before = fused.clone()
    for wrong in ((q, k), (fused, fused), (q, q[:, :2])):
        with pytest.raises(tightrope.RopeConfigError, match="share memory"):
            rotary.rotate_(*wrong, offset=3)
    assert torch.equal(fused, before)


def test_slices_of_one_tensor_that_share_nothing_are_rotated_in_place(rotary):
    fused = drawn(2, 5, 6, 32)
    expected = rotary(fused[:, :, :4], fused[:, :, 4:], offset=3, order="bshd")
    rotary.rotate_(fused[:, :, :4], fused[:, :, 4:], offset=3, order="bshd")
    assert torch.equal(torch.cat(expected, 2), fused)
    # q and k channel by channel beside one another
    beside = drawn(2, 4, 5, 64)
    expected = rotary(beside[..., ::2], beside[..., 1::2], offset=3)
    rotary.rotate_(beside[..., ::2], beside[..., 1::2], offset=3)
    assert torch.equal(torch.stack(expected, -1).flatten(-2), beside)


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
