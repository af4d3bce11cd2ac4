"""Bad input: each gets an error that names the argument, the rule, the value and, where it helps, the remedy."""

import numpy as np
import pytest

from draws import rope
from tightrope import ModelRope, MRope, RopeConfigError

DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}


class Bench:
    """A module and arrays of a backend, so that a case fits on a line."""

    def __init__(self, backend, config=None, **settings):
        self.backend = backend
        self.module = backend.RotaryEmbedding(config or rope(), **settings)
        self.q = self.array(np.ones((2, 3, 4, 8)), "float32")

    def array(self, values, dtype="int64"):
        return self.backend.asarray(np.asarray(values), dtype, self.backend.devices()[0])


@pytest.fixture
def bench(backend):
    return Bench(backend)


def ids(case):
    return getattr(case, "__name__", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda b: {"positions": b.array(np.arange(4) + 0.5, "float32")}, "positions must be whole numbers"),
        (lambda b: {"positions": [0, 1, 2, 3]}, "positions must be an integer .* or numpy array, got"),
        (lambda b: {"positions": b.array(np.arange(5))}, r"one entry per token \(4\), got shape \(5,\)"),
        (lambda b: {"positions": b.array(np.zeros((3, 4)))}, r"q has \(batch, seq\) = \(2, 4\).*have \(3, 4\)"),
        (lambda b: {"positions": b.array(np.zeros((3, 2, 4)))}, r"\(seq,\) or \(batch, seq\), got shape \(3, 2, 4\)"),
        (lambda b: {"positions": b.array(0)}, r"\(seq,\) or \(batch, seq\), got shape \(\)"),
        (lambda b: {"offset": 1.5}, "offset must be an int or an integer .* array, got 1.5"),
        (lambda b: {"offset": True}, "offset must be an int or an integer .* array, got True"),
        (lambda b: {"offset": b.array([1.0, 2.0], "float32")}, "offset must be of an integer dtype"),
        (lambda b: {"offset": b.array([[1], [2]])}, r"one per row \(batch,\), got shape \(2, 1\)"),
        (lambda b: {"offset": b.array([1, 2, 3])}, r"\(batch, seq\) = \(2, 4\).*\(3, 4\)"),
        (lambda b: {"offset": 1, "positions": b.array(np.arange(4))}, "positions or offset, not both"),
        (lambda b: {"order": "hsbd"}, "order must be one of 'bhsd', 'bshd', 'sbhd', 'thd', got 'hsbd'"),
        (lambda b: {"order": "thd"}, r"q must have 3 axes for order 'thd', got shape \(2, 3, 4, 8\)"),
        (lambda b: {"order": "bshd", "positions": b.array(np.arange(4))}, r"one entry per token \(3\)"),
        (lambda b: {"layer_type": "sliding"}, r"layer_type must be one of \['default'\], got 'sliding'"),
        (
            lambda b: {"seq_len": 1.5},
            r"seq_len must be .* from 0 to 2\*\*63 - 1, one or one per row, got 1.5",
        ),
        (lambda b: {"seq_len": -1}, r"seq_len must be whole numbers from 0 to 2\*\*63 - 1"),
        (lambda b: {"seq_len": [4, True]}, r"seq_len must be whole numbers from 0 to 2\*\*63 - 1"),
        (lambda b: {"seq_len": b.array([1.0], "float32")}, "seq_len must be of an integer dtype"),
        (lambda b: {"angles": b.module.angles(length=4), "offset": 3}, "angles already stand for positions"),
        (lambda b: {"angles": b.module.angles(length=5)}, r"\(2, 4\).*\(1, 5\)"),
        (lambda b: {"angles": 3}, "angles must be what angles"),
        (lambda b: {"angles": (b.q, b.q)}, r"cos and sin must both be \(batch, seq, pairs\)"),
        (lambda b: {"angles": (b.q[0], b.q[0])}, r"one entry per rotated pair \(4\), got 8"),
        (lambda b: {"k": b.array(np.ones((2, 1, 5, 8)), "float32")}, "q and k must have one length, got 4 and 5"),
        (lambda b: {"k": b.array(np.ones((2, 1, 4, 6)), "float32")}, r"k must have at least rotary_dim \(8\) channels"),
        (lambda b: {"k": b.array(np.ones((2, 1, 4, 8)))}, "k must be of a float dtype"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(bench, arguments, message):
    with pytest.raises(RopeConfigError, match=message):
        bench.module(bench.q, **arguments(bench))


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_integer_q_is_refused(bench, dtype):
    with pytest.raises(RopeConfigError, match=r"q must be of a float dtype, got .*int"):
        bench.module(bench.array(np.ones((1, 1, 1, 8)), dtype))


def test_q_of_another_framework_is_refused(bench):
    with pytest.raises(RopeConfigError, match=r"q must be a .* array, got numpy.ndarray"):
        bench.module(np.ones((1, 1, 1, 8), np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "float16"}, "precision must be one of 'exact', 'float32', got 'float16'"),
        ({"policy": "batch"}, "policy must be one of 'row', 'transformers', got 'batch'"),
        ({"switch": "never"}, "switch must be one of 'auto', 'short', 'long', got 'never'"),
    ],
)
@pytest.mark.parametrize("scaling", [{"rope_type": "default"}, DYNAMIC], ids=["static", "dynamic"])
def test_an_unknown_word_is_refused_at_once(backend, scaling, settings, message):
    with pytest.raises(RopeConfigError, match=message):
        backend.RotaryEmbedding(rope().replace(scaling=scaling), **settings)


def test_a_model_is_read_where_it_has_not_been(backend):
    with pytest.raises(RopeConfigError, match=r"hidden_size is missing"):
        backend.RotaryEmbedding({"rope_theta": 10000})


def test_several_ropes_need_a_layer_type(backend):
    model = ModelRope(ropes={"full": rope(), "sliding": rope(base=100.0)}, layers=("full", "sliding", None))
    bench = Bench(backend, model)
    with pytest.raises(RopeConfigError, match="layer_type is required"):
        bench.module(bench.q)
    with pytest.raises(RopeConfigError, match="index must be one of the 3 layers"):
        bench.module.for_layer(3)
    with pytest.raises(RopeConfigError, match=r"angles hold \['full'\], none for layer_type 'sliding'"):
        bench.module(bench.q, angles=bench.module.angles(length=4, layer_type="full"), layer_type="sliding")


def test_angles_need_positions_or_a_length(bench):
    with pytest.raises(RopeConfigError, match="give positions, or length and where they start"):
        bench.module.angles()
    with pytest.raises(RopeConfigError, match="length belongs to offset"):
        bench.module.angles(bench.array(np.arange(3)), length=3)


def test_a_length_is_not_negative(bench):
    with pytest.raises(RopeConfigError, match="length must be a whole number >= 0, got -1"):
        bench.module.angles(length=-1)


@pytest.mark.parametrize("delta", [1.5, None])
def test_keys_move_by_whole_positions(bench, delta):
    with pytest.raises(RopeConfigError, match=f"delta must be an int or an integer .* array, got {delta}"):
        bench.module.shift(bench.q, delta)


def test_axes_must_be_those_of_the_rope(backend):
    bench = Bench(backend, rope(mrope=MRope(sections=(2, 1, 1))))
    with pytest.raises(RopeConfigError, match=r"\(batch, seq\) or \(3, batch, seq\), got shape \(4, 2, 4\)"):
        bench.module(bench.q, positions=bench.array(np.zeros((4, 2, 4))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "neox"}, "layout must be one of 'half', 'interleaved', 'halves', got 'neox'"),
        ({"side": "left"}, "side must be one of 'head', 'tail', got 'left'"),
        ({"order": "bh"}, "order must be one of"),
        ({"pairs": 5}, r"q must have at least rotary_dim \(10\) channels, got 8"),
        ({"cos_shape": (1, 4, 3)}, r"cos and sin must both be .*\(1, 4, 3\) and \(1, 4, 4\)"),
        ({"cos_shape": (4, 4)}, "cos and sin must both be"),
        ({"dtype": "int64"}, "cos must be a float"),
        ({"batch": 3}, r"\(2, 4\).*\(3, 4\)"),
    ],
)
def test_given_angles_that_do_not_fit_are_refused(bench, change, message):
    shape = (change.get("batch", 1), 4, change.get("pairs", 4))
    dtype = change.get("dtype", "float32")
    # Ones would be read as angles that each stand twice.
    values = np.arange(np.prod(change.get("cos_shape", shape))).reshape(change.get("cos_shape", shape))
    cos, sin = bench.array(values, dtype), bench.array(np.ones(shape), dtype)
    words = {name: change[name] for name in ("layout", "side", "order") if name in change}
    with pytest.raises(RopeConfigError, match=message):
        bench.backend.rotate(bench.q, cos=cos, sin=sin, **{"layout": "half", **words})
