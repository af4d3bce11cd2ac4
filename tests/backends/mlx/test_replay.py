"""A call of MLX that comes again is replayed: same bits, same words, few Python functions, whatever transforms it."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import tightrope
from harness.frames import frames
from tightrope.rope.config.mrope import MRope
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.dynamic import Dynamic
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.yarn import Yarn

mx = pytest.importorskip("mlx.core")
pytestmark = pytest.mark.backend("mlx")

ROPE = tightrope.RopeConfig(
    head_dim=32, rotary_dim=24, base=1e4, layout="half", scaling=Default(), max_position_embeddings=40
)
LONG = LongRope(short_factor=(1.0,) * 12, long_factor=(2.0,) * 12, original_max_position_embeddings=20)
ROPES = {
    "plain": ROPE,
    "interleaved tail": ROPE.replace(layout="interleaved", side="tail"),
    "halves": ROPE.replace(layout="halves", rotary_dim=32),
    "attention factor": ROPE.replace(scaling=Yarn(factor=4.0, original_max_position_embeddings=64)),
    "three axes": ROPE.replace(mrope=MRope(sections=(4, 4, 4))),
    "two tables": ROPE.replace(scaling=LONG),
    "a table for each length": ROPE.replace(scaling=Dynamic(factor=2.0)),
}
WHERE = {
    "nothing": lambda rope: {},
    "an int": lambda rope: {"offset": 7},
    "a large int": lambda rope: {"offset": 2**53 + 1},
    "beyond the switch": lambda rope: {"offset": 16},
    "one offset": lambda rope: {"offset": mx.array(9)},
    "an offset for each row": lambda rope: {"offset": mx.array([3, -2, 2**50])},
    "positions": lambda rope: {"positions": mx.array([4, 0, 31, 2**45, -7])},
    "positions of rows": lambda rope: {"positions": mx.arange(15).reshape(3, 5) * 7},
    "axes": lambda rope: {"positions": mx.arange(45).reshape(3, 3, 5) % 17},
    "cos and sin": lambda rope: {"angles": rope.cos_sin(mx.arange(5), seq_len=21)},
    "angles": lambda rope: {"angles": rope.angles(offset=3, length=5)},
}
SHAPES = {"bhsd": (3, 4, 5, 32), "bshd": (3, 5, 4, 32), "thd": (5, 4, 32)}


def made(config, **how):
    from tightrope.backends.mlx import RotaryEmbedding

    return RotaryEmbedding(config, **how)


def drawn(*shape, dtype=None, seed=1):
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype or mx.float32)


def values(result):
    return [np.array(x.astype(mx.float32)) for x in (result if isinstance(result, tuple) else (result,))]


def outcome(call):
    try:
        return values(call())
    except tightrope.RopeConfigError as error:
        return str(error)


def same(a, b):
    return a == b if isinstance(a, str) or isinstance(b, str) else all(map(np.array_equal, a, b))


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("config", ROPES.values(), ids=ROPES)
def test_every_replay_has_the_bits_and_the_words_of_the_first_call(config, where):
    rope = made(config)
    for order, dtype in [("bhsd", mx.float32), ("bshd", mx.bfloat16), ("thd", mx.float16)]:
        q, k = drawn(*SHAPES[order], dtype=dtype), drawn(*SHAPES[order], dtype=dtype, seed=2)
        for xs in ((q, k), (q,)):
            call = partial(lambda *xs, order: rope(*xs, order=order, **where(rope)), *xs, order=order)
            first, *others = (outcome(call) for _ in range(4))
            assert all(same(first, other) for other in others)


WRONG = {
    "axes of q": lambda: {"q": drawn(3, 4, 5)},
    "width of q": lambda: {"q": drawn(3, 4, 5, 16)},
    "width of k": lambda: {"k": drawn(3, 4, 5, 16)},
    "tokens of k": lambda: {"k": drawn(3, 4, 6, 32)},
    "rows of k": lambda: {"k": drawn(2, 4, 5, 32)},
    "integer q": lambda: {"q": drawn(3, 4, 5, 32).astype(mx.int32)},
    "offsets of too many rows": lambda: {"offset": mx.array([1, 2])},
    "axes of offset": lambda: {"offset": mx.array([[1, 2, 3]])},
    "floating offset": lambda: {"offset": mx.array(1.5)},
    "both": lambda: {"offset": 3, "positions": mx.arange(5)},
    "positions for other tokens": lambda: {"positions": mx.arange(4)},
    "positions and angles": lambda: {"positions": mx.arange(5), "angles": (mx.ones((1, 5, 12)), mx.ones((1, 5, 12)))},
    "angles for other tokens": lambda: {"angles": (mx.ones((1, 4, 12)), mx.ones((1, 4, 12)))},
    "order": lambda: {"order": "hsbd"},
    "layer_type": lambda: {"layer_type": "sliding"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_however_often_it_comes(wrong):
    rope = made(ROPE)
    for _ in range(4):
        arguments = {"q": drawn(3, 4, 5, 32), "k": drawn(3, 2, 5, 32)} | wrong()
        with pytest.raises(tightrope.RopeConfigError):
            rope(arguments.pop("q"), arguments.pop("k"), **arguments)


@pytest.mark.parametrize("shape", [(1, 8, 1, 32), (2, 8, 16, 32)], ids=str)
@pytest.mark.parametrize(
    "where",
    ["nothing", "an int", "one offset", "positions", "cos and sin"],
)
def test_a_warm_call_passes_through_few_frames(shape, where):
    rope, q, k, seq = made(ROPE), drawn(*shape), drawn(*shape), shape[2]
    rebuilt = {"positions": {"positions": mx.arange(seq)}, "cos and sin": {"angles": rope.cos_sin(mx.arange(seq))}}
    arguments = rebuilt.get(where) or WHERE[where](rope)
    assert frames(lambda: rope(q, k, **arguments)) <= 11


@pytest.mark.parametrize("form", [("half", "head", "bhsd", False), ("interleaved", "tail", "bshd", True)], ids=str)
def test_given_angles_are_replayed_with_the_same_bits_and_words(form):
    from tightrope.backends.mlx import rotate

    how = dict(zip(("layout", "side", "order", "transpose"), form, strict=True))
    cos, sin = made(ROPE).cos_sin(mx.arange(5))
    for dtype in (mx.float32, mx.bfloat16):
        q, k = drawn(*SHAPES[form[2]], dtype=dtype), drawn(*SHAPES[form[2]], dtype=dtype, seed=2)
        for xs in ((q, k), (q,)):
            first, *others = (values(rotate(*xs, cos=cos, sin=sin, **how)) for _ in range(4))
            assert all(same(first, other) for other in others)
    for wrong in ({"layout": "quarter"}, {"layout": ["half"]}, {"sin": sin[:, :4]}, {"q": q.astype(mx.int32)}):
        given = {"q": q, "k": k, "cos": cos, "sin": sin} | how | wrong
        assert len({outcome(lambda given=given: rotate(**given)) for _ in range(3)}) == 1


def test_a_warm_call_with_given_angles_passes_through_few_frames():
    from tightrope.backends.mlx import rotate

    cos, sin = made(ROPE).cos_sin(mx.arange(5))
    call = partial(rotate, drawn(*SHAPES["bhsd"]), cos=cos, sin=sin, layout="half")
    assert frames(call) <= 7


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(-5, 40), st.booleans()), max_size=30))
def test_calls_of_all_kinds_may_alternate(calls):
    ropes = [made(config) for config in (ROPE, ROPES["interleaved tail"], ROPES["two tables"])]
    for which, seq, offset, half in calls:
        q = drawn(1, 2, seq, 32, dtype=mx.float16 if half else mx.float32, seed=seq)
        config = ropes[which].model.rope()
        assert same(values(ropes[which](q, offset=offset)), values(made(config)(q, offset=offset)))


def test_threads_may_share_a_rope():
    rope, q = made(ROPE), drawn(1, 2, 3, 32)
    mx.eval(q)
    expected = {offset: values(made(ROPE)(q, offset=offset)) for offset in range(8)}

    def works(offset):
        return all(same(values(rope(q, offset=offset)), expected[offset]) for _ in range(20))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(works, range(8)))


def test_gradients_batching_and_compilation_go_through_a_replay():
    rope, x = made(ROPE), drawn(2, 4, 5, 32)

    def transformed(rotate):
        loss = lambda x: (rotate(x) ** 3).sum()  # noqa: E731
        yield mx.grad(loss)(x)
        yield mx.vmap(lambda row: rotate(row[None])[0])(x)
        yield mx.compile(rotate)(x)
        yield mx.compile(mx.grad(loss))(x)
        yield mx.jvp(rotate, [x], [mx.ones_like(x)])[1][0]

    fresh = [np.array(y) for y in transformed(lambda x: made(ROPE)(x, offset=3))]
    for _ in range(4):
        rope(x, offset=3), rope(x[:1], offset=3)
    for y, expected in zip(transformed(lambda x: rope(x, offset=3)), fresh, strict=True):
        np.testing.assert_allclose(np.array(y), expected, rtol=2**-20, atol=2**-20)


def test_a_copy_records_for_itself():
    rope, q = made(ROPE), drawn(1, 2, 3, 32)
    first = values(rope(q, offset=5))
    assert all(same(first, values(rope(q, offset=5))) for _ in range(3))
    for other in (copy.copy(rope), copy.deepcopy(rope), pickle.loads(pickle.dumps(rope))):
        assert all(same(first, values(other(q, offset=5))) for _ in range(3))


def test_layers_with_ropes_of_their_own_do_not_share_a_graph():
    model = tightrope.ModelRope(
        ropes={"full": ROPE, "sliding": ROPE.replace(base=77.0)}, layers=("full", "sliding", None)
    )
    rope, q = made(model), drawn(1, 2, 3, 32)
    alone = [values(made(config)(q, offset=5)) for config in model.ropes.values()]
    for _ in range(4):
        for index, key in enumerate(model.ropes):
            assert same(values(rope.for_layer(index)(q, offset=5)), alone[index])
            assert same(values(rope(q, offset=5, layer_type=key)), alone[index])


def test_only_so_many_kinds_are_remembered():
    from tightrope.backends.mlx.replay import _REMEMBERED

    rope = made(ROPE)
    for seq in range(1, _REMEMBERED + 20):
        rope(drawn(1, 1, seq, 32), offset=0), rope(drawn(1, 1, seq, 32), offset=0)
    assert len(rope._replays._recorded) == _REMEMBERED
