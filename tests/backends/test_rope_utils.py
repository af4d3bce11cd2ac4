"""Each name of `rope_utils` gives what transformers' name of that kind gives, the same bits on every backend."""

import copy
import pickle
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tightrope
from tightrope import RopeConfigError
from tightrope.rope.scaling import rope_types

HEAD_DIM = 128
PAIRS = HEAD_DIM // 2
BLOCKS = {
    "default": {},
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 8192, "mscale": 1.0, "mscale_all_dim": 0.8},
    "longrope": {
        "factor": 16.0,
        "short_factor": [1.0] * PAIRS,
        "long_factor": [1.1] * PAIRS,
        "original_max_position_embeddings": 4096,
    },
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "proportional": {"partial_rotary_factor": 0.25},
}
# Theirs computes in float32: exponent, power, reciprocal, and then the type's own operations.
ROUNDINGS = {"linear": 5, "dynamic": 4, "yarn": 8, "longrope": 5, "llama3": 9, "proportional": 4}
EACH = 2.0**-24


@pytest.fixture
def names(backend):
    return import_module(f"{backend.__name__}.rope_utils")


@pytest.fixture
def place(backend):
    """From numpy to the framework."""
    return lambda x: backend.asarray(x, x.dtype.name, "cpu")


def config(rope_type="default", **fields):
    block = {"rope_type": rope_type, "rope_theta": 10_000.0, **BLOCKS[rope_type]}
    shape = {"hidden_size": 32 * HEAD_DIM, "num_attention_heads": 32, "max_position_embeddings": 32_768}
    return SimpleNamespace(**{**shape, "rope_parameters": block, **fields})


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


class TestFrequencies:
    @pytest.mark.parametrize("seq_len", [None, 2048, 131_072])
    @pytest.mark.parametrize("rope_type", [name for name in BLOCKS if name != "default"])
    def test_they_are_what_the_formulas_of_transformers_give_in_float64_rounded_once(
        self, names, backend, rope_type, seq_len, monkeypatch
    ):
        torch = pytest.importorskip("torch")
        theirs = pytest.importorskip("transformers.modeling_rope_utils").ROPE_INIT_FUNCTIONS[rope_type]
        llama = pytest.importorskip("transformers").LlamaConfig(**vars(config(rope_type)))
        inv_freq, attention_factor = names.ROPE_INIT_FUNCTIONS[rope_type](llama, seq_len=seq_len)
        found = backend.to_numpy(inv_freq)
        assert found.dtype == np.float32
        stepwise = theirs(llama, torch.device("cpu"), seq_len=seq_len)[0].numpy()
        for name in ("float", "float32"):
            monkeypatch.setattr(torch, name, torch.float64)
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        formula, factor = theirs(llama, torch.device("cpu"), seq_len=seq_len)
        assert formula.dtype == torch.float64
        np.testing.assert_allclose(found, formula.numpy(), rtol=EACH, atol=0)
        # Which their own float32 arithmetic, rounded at every step, need not be.
        np.testing.assert_allclose(found, stepwise, rtol=ROUNDINGS[rope_type] * EACH, atol=0)
        assert attention_factor == pytest.approx(factor, rel=1e-12)

    def test_a_length_may_be_an_array(self, names, backend, place):
        given = names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), seq_len=place(np.array(40_000)))[0]
        said = names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), None, 40_000)[0]
        np.testing.assert_array_equal(backend.to_numpy(given), backend.to_numpy(said))

    def test_default_is_the_power_of_the_base(self, names, backend):
        found = backend.to_numpy(names.ROPE_INIT_FUNCTIONS["default"](config())[0])
        np.testing.assert_array_equal(found, (10_000.0 ** (-np.arange(PAIRS) / PAIRS)).astype(np.float32))

    def test_default_of_a_scaled_configuration_is_unscaled(self, names, backend):
        scaled = names.ROPE_INIT_FUNCTIONS["default"](config("linear"))[0]
        plain = names.ROPE_INIT_FUNCTIONS["default"](config())[0]
        np.testing.assert_array_equal(backend.to_numpy(scaled), backend.to_numpy(plain))

    @pytest.mark.parametrize("form", [dict, SimpleNamespace, lambda **keys: tightrope.read(keys)])
    def test_any_form_of_configuration_is_taken(self, names, backend, form):
        found = names.ROPE_INIT_FUNCTIONS["linear"](form(**vars(config("linear", model_type="llama"))))[0]
        expected = names.ROPE_INIT_FUNCTIONS["linear"](config("linear"))[0]
        np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(expected))

    def test_the_width_of_a_head_may_have_another_name(self, names):
        inv_freq, _ = names.ROPE_INIT_FUNCTIONS["default"](config(global_head_dim=32), head_dim_key="global_head_dim")
        assert inv_freq.shape == (16,)
        with pytest.raises(KeyError, match="other_dim is required by head_dim_key"):
            names.ROPE_INIT_FUNCTIONS["default"](config(), head_dim_key="other_dim")

    def test_another_type_than_the_configurations_is_refused(self, names):
        with pytest.raises(RopeConfigError, match="rope_type of the configuration is 'linear', 'yarn' was asked for"):
            names.ROPE_INIT_FUNCTIONS["yarn"](config("linear"))

    def test_a_missing_key_is_a_key_error_too(self, names):
        bad = config(rope_parameters={"rope_type": "linear", "rope_theta": 1e4})
        with pytest.raises(KeyError, match=r"rope_parameters\.factor is required by rope_type 'linear'"):
            names.ROPE_INIT_FUNCTIONS["linear"](bad)

    def test_the_mapping_is_a_live_view_of_the_registry(self, names):
        functions = names.ROPE_INIT_FUNCTIONS
        assert set(functions) == set(rope_types()) > {"default", "ntk"}
        assert "yarn" in functions
        assert "yran" not in functions
        with pytest.raises(KeyError, match="unknown rope_type 'yran'; did you mean 'yarn'"):
            functions["yran"]

    @pytest.mark.parametrize(
        ("function", "rope_type"),
        [
            ("_compute_default_rope_parameters", "default"),
            ("_compute_linear_scaling_rope_parameters", "linear"),
            ("_compute_dynamic_ntk_parameters", "dynamic"),
            ("_compute_yarn_parameters", "yarn"),
            ("_compute_longrope_parameters", "longrope"),
            ("_compute_llama3_parameters", "llama3"),
            ("_compute_proportional_rope_parameters", "proportional"),
        ],
    )
    def test_the_functions_have_transformers_names(self, names, backend, function, rope_type):
        found = getattr(names, function)(config(rope_type))[0]
        expected = names.ROPE_INIT_FUNCTIONS[rope_type](config(rope_type))[0]
        np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(expected))


@pytest.mark.backend("torch", "mlx")
@pytest.mark.parametrize("rope_type", BLOCKS)
def test_both_backends_have_the_same_bits(rope_type):
    found = []
    for name in ("torch", "mlx"):
        backend = tightrope.load_backend(name)
        utils = import_module(f"{backend.__name__}.rope_utils")
        found.append(backend.to_numpy(utils.ROPE_INIT_FUNCTIONS[rope_type](config(rope_type), seq_len=50_000)[0]))
    np.testing.assert_array_equal(*found)


class TestApply:
    """Against transformers' own functions, float32: 4 roundings on their side, 2 on ours, of values up to 8."""

    ROUNDING = 6 * 8 * 2.0**-24

    @pytest.fixture
    def tables(self):
        angles = np.random.default_rng(1).uniform(-3, 3, (2, 6, PAIRS)).astype(np.float32)
        full = np.concatenate((angles, angles), -1)
        return np.cos(full), np.sin(full)

    def theirs(self, function, module, q, k, cos, sin, *arguments, **options):
        torch = pytest.importorskip("torch")
        apply = getattr(pytest.importorskip(f"transformers.models.{module}.modeling_{module}"), function)
        tensors = (torch.from_numpy(np.ascontiguousarray(x)) for x in (q, k, cos, sin))
        return [x.numpy() for x in apply(*tensors, *arguments, **options)]

    def close(self, backend, found, expected):
        for here, there in zip(found, expected, strict=True):
            np.testing.assert_allclose(backend.to_numpy(here), there, rtol=0, atol=self.ROUNDING)

    @pytest.mark.parametrize("unsqueeze_dim", [1, 2, -3, -2])
    def test_apply_rotary_pos_emb(self, names, backend, place, tables, unsqueeze_dim):
        heads_first = unsqueeze_dim in (1, -3)
        q, k = normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM)
        q, k = (q, k) if heads_first else (q.swapaxes(1, 2), k.swapaxes(1, 2))
        found = names.apply_rotary_pos_emb(*map(place, (q, k, *tables)), unsqueeze_dim=unsqueeze_dim)
        expected = self.theirs("apply_rotary_pos_emb", "llama", q, k, *tables, unsqueeze_dim=unsqueeze_dim)
        self.close(backend, found, expected)

    def test_apply_rotary_pos_emb_to_a_part_of_the_head(self, names, backend, place, tables):
        q, k = normal(2, 4, 6, 192), normal(2, 2, 6, 192)
        found = names.apply_rotary_pos_emb(*map(place, (q, k, *tables)))
        self.close(backend, found, self.theirs("apply_rotary_pos_emb", "phi3", q, k, *tables))

    def test_apply_rotary_pos_emb_interleave(self, names, backend, place, tables):
        q, k = normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM)
        found = names.apply_rotary_pos_emb_interleave(*map(place, (q, k, *tables)))
        expected = self.theirs("apply_rotary_pos_emb_interleave", "deepseek_v3", q, k, *tables)
        self.close(backend, found, expected)

    def test_apply_multimodal_rotary_pos_emb(self, names, backend, place):
        """Channel by channel: pair i takes the angle of its section's axis, the rotation is x · e^{iφ}."""
        angles = np.random.default_rng(1).uniform(-3, 3, (3, 2, 6, PAIRS)).astype(np.float32)
        full = np.concatenate((angles, angles), -1)
        q, k = normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM)
        found = names.apply_multimodal_rotary_pos_emb(*map(place, (q, k, np.cos(full), np.sin(full))), [16, 24, 24])
        axis = np.repeat([0, 1, 2], [16, 24, 24])
        phase = np.exp(1j * np.stack([angles[axis[i], ..., i] for i in range(PAIRS)], -1).astype(np.float64))[:, None]
        rotated = [(x[..., :PAIRS] + 1j * x[..., PAIRS:]) * phase for x in (q, k)]
        self.close(backend, found, [np.concatenate((z.real, z.imag), -1) for z in rotated])

    def test_sections_must_fill_the_table(self, names, place, tables):
        with pytest.raises(
            RopeConfigError, match=r"mrope_section must be whole .* up to the 64 pairs .* got \[8, 8, 8\]"
        ):
            names.apply_multimodal_rotary_pos_emb(
                *map(place, (normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM), *tables)), [8, 8, 8]
            )

    def test_k_may_be_missing(self, names, backend, place, tables):
        q = place(normal(2, 4, 6, HEAD_DIM))
        alone, nothing = names.apply_rotary_pos_emb(q, None, *map(place, tables))
        both, _ = names.apply_rotary_pos_emb(q, q, *map(place, tables))
        assert nothing is None
        np.testing.assert_array_equal(backend.to_numpy(alone), backend.to_numpy(both))

    def test_position_ids_choose_rows_of_a_table_by_position(self, names, backend, place, tables):
        """The form of transformers 4.35 and before."""
        q = normal(2, 4, 3, HEAD_DIM)
        rows = np.array([[0, 2, 5], [1, 1, 4]])
        table = [part[0] for part in tables]
        found = names.apply_rotary_pos_emb(place(q), None, *map(place, table), position_ids=place(rows))[0]
        chosen = names.apply_rotary_pos_emb(place(q), None, *(place(part[rows]) for part in table))[0]
        np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(chosen))

    def test_position_ids_that_do_not_fit_gathered_tables_are_refused(self, names, place, tables):
        q = place(normal(2, 4, 6, HEAD_DIM))
        with pytest.raises(RopeConfigError, match="position_ids must have the 6 positions of cos and sin, got 5"):
            names.apply_rotary_pos_emb(q, None, *map(place, tables), place(np.zeros((2, 5), np.int64)))

    @pytest.mark.parametrize("function", ["apply_rotary_pos_emb", "apply_rotary_pos_emb_interleave"])
    def test_tables_that_hold_each_angle_once_are_refused(self, names, place, tables, function):
        """Half of their pairs would rotate half of the channels."""
        q = place(normal(2, 4, 6, HEAD_DIM))
        once = [place(np.ascontiguousarray(table[..., :PAIRS])) for table in tables]
        with pytest.raises(RopeConfigError, match=r"must hold each angle twice, .*, got 64 angles; call rotate"):
            getattr(names, function)(q, q, *once)

    def test_an_axis_that_is_none_of_heads_is_refused(self, names, place, tables):
        q = place(normal(2, 4, 6, HEAD_DIM))
        with pytest.raises(RopeConfigError, match=r"unsqueeze_dim must be 1 or -3 .* got 0"):
            names.apply_rotary_pos_emb(q, None, *map(place, tables), unsqueeze_dim=0)

    @pytest.mark.parametrize("layout", ["half", "interleaved"])
    def test_rotate_half_is_a_quarter_turn(self, names, backend, place, layout):
        x = normal(2, 3, HEAD_DIM)
        pairs = (slice(0, PAIRS), slice(PAIRS, None)) if layout == "half" else (slice(0, None, 2), slice(1, None, 2))
        found = backend.to_numpy(names.rotate_half(place(x), layout))
        np.testing.assert_array_equal(found[..., pairs[0]], -x[..., pairs[1]])
        np.testing.assert_array_equal(found[..., pairs[1]], x[..., pairs[0]])

    def test_rotate_half_of_an_odd_width_is_refused(self, names, place):
        with pytest.raises(RopeConfigError, match="x must have an even number of channels, got 3"):
            names.rotate_half(place(normal(2, 3)))

    def test_metas_tables_rotate_interleaved_pairs(self, names, backend, place):
        q, k = normal(2, 6, 4, HEAD_DIM), normal(2, 6, 2, HEAD_DIM)
        table = names.precompute_freqs_cis(HEAD_DIM, 6, theta=500_000.0)
        angles = np.arange(6)[:, None] * 500_000.0 ** (-np.arange(PAIRS) / PAIRS)
        phase = np.exp(1j * angles)[:, None]
        rotated = [(x[..., ::2] + 1j * x[..., 1::2]) * phase for x in (q, k)]
        expected = [np.stack((z.real, z.imag), -1).reshape(x.shape) for z, x in zip(rotated, (q, k), strict=True)]
        self.close(backend, names.apply_rotary_emb(place(q), place(k), table), expected)


WRONG = {
    "words": (lambda names, x: names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), seq_len="x"), "seq_len"),
    "half a token": (lambda names, x: names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), seq_len=9.5), "seq_len"),
    "several lengths": (
        lambda names, x: names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), seq_len=x[0, 0, 0]), "seq_len"),
    "no such device": (lambda names, x: names.ROPE_INIT_FUNCTIONS["default"](config(), "gpu9"), "device"),
    "a list of cos": (lambda names, x: names.apply_rotary_pos_emb(x, x, [1.0], [0.0]), "cos"),
    "no q": (lambda names, x: names.apply_rotary_pos_emb(None, x, x[:, 0] * 0, x[:, 0] * 0), "q"),
    "half a section": (
        lambda names, x: names.apply_multimodal_rotary_pos_emb(x, x, *[x[:, 0] * 0] * 2, [1.5, 2.5]), "mrope_section"),
    "a negative section": (
        lambda names, x: names.apply_multimodal_rotary_pos_emb(x, x, *[x[:, 0] * 0] * 2, [-1, 65]), "mrope_section"),
    "no sections": (
        lambda names, x: names.apply_multimodal_rotary_pos_emb(x, x, *[x[:, 0] * 0] * 2, None), "mrope_section"),
    "an end before the start": (lambda names, x: names.precompute_freqs_cis(8, -4), "end"),
    "an end in words": (lambda names, x: names.precompute_freqs_cis(8, "4"), "end"),
    "an odd width": (lambda names, x: names.precompute_freqs_cis(7, 4), "rotary_dim"),
    "real freqs_cis": (lambda names, x: names.apply_rotary_emb(x, x, x[0, 0]), "freqs_cis"),
    "rotate_half of nothing": (lambda names, x: names.rotate_half(None), "x"),
    "no configuration": (lambda names, x: names.RotaryEmbedding(), "RotaryEmbedding takes a model or a rope"),
    "a width alone": (lambda names, x: names.RotaryEmbedding(dim=64), r"RotaryEmbedding\(tightrope.RopeConfig\("),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_by_name(names, place, case):
    call, name = WRONG[case]
    with pytest.raises(RopeConfigError, match=rf"{name}\b"):
        call(names, place(normal(1, 2, 6, HEAD_DIM)))


class TestModule:
    def test_it_is_copied_and_pickled_like_any_module(self, names, backend, place):
        module = names.RotaryEmbedding(config("llama3"))
        x, at = place(normal(1)), place(np.arange(6)[None] + 5)
        for made in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            for here, there in zip(made(x, at), module(x, at), strict=True):
                np.testing.assert_array_equal(backend.to_numpy(here), backend.to_numpy(there))
            assert vars(made.config) == vars(config("llama3"))

    def test_several_ropes_need_a_layer_type(self, names, place):
        both = {"model_type": "gemma3_text", "head_dim": 16, "num_hidden_layers": 6}
        with pytest.raises(RopeConfigError, match="layer_type is required"):
            names.RotaryEmbedding(both)(place(normal(1)), place(np.arange(6)[None]))

    def test_it_gives_cos_and_sin_at_full_width(self, names, backend, place):
        torch = pytest.importorskip("torch")
        llama = pytest.importorskip("transformers.models.llama.modeling_llama")
        theirs = llama.LlamaRotaryEmbedding(llama.LlamaConfig(**vars(config("llama3"))))
        at = np.arange(6)[None] + 5
        x = normal(1, 6, 8)
        expected = theirs(torch.from_numpy(x), torch.from_numpy(at))
        found = names.RotaryEmbedding(config("llama3"))(place(x), place(at))
        for here, there in zip(found, expected, strict=True):
            # Their angle is a float32 product of up to 10 rad.
            np.testing.assert_allclose(backend.to_numpy(here), there.numpy(), rtol=0, atol=10 * 2.0**-23)

    def test_its_tables_have_the_dtype_of_x(self, names, backend, place):
        x = backend.asarray(normal(1, 6, 8), "bfloat16", "cpu")
        cos, sin = names.RotaryEmbedding(config())(x, place(np.arange(6)[None]))
        assert cos.dtype == sin.dtype == x.dtype

    def test_nothing_in_it_is_trained_or_saved(self, names):
        module = names.RotaryEmbedding(config())
        found = module.parameters()
        assert not (list(found) if not isinstance(found, dict) else found)
        assert not getattr(module, "state_dict", dict)()

    def test_it_says_its_frequencies_and_attention_factor(self, names, backend):
        module = names.RotaryEmbedding(config("yarn"))
        inv_freq, factor = names.ROPE_INIT_FUNCTIONS["yarn"](config("yarn"))
        np.testing.assert_array_equal(backend.to_numpy(module.inv_freq), backend.to_numpy(inv_freq))
        assert module.attention_scaling == factor


class Remembering:
    """A rotary module's attributes, and nothing else."""

    def __init__(self, config, rope_type):
        self.config, self.rope_type = config, rope_type


@pytest.mark.backend("torch")
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8), rope_type=st.sampled_from(["dynamic", "longrope"])
)
def test_the_decorator_follows_any_history_as_transformers_does(lengths, rope_type):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.modeling_rope_utils")
    ours = import_module("tightrope.backends.torch.rope_utils")
    llama = pytest.importorskip("transformers").LlamaConfig(
        hidden_size=64, num_attention_heads=4, max_position_embeddings=100,
        rope_parameters={"rope_type": rope_type, "rope_theta": 1e4, "factor": 3.0, **(
            {} if rope_type == "dynamic" else
            {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "original_max_position_embeddings": 100})},
    )  # fmt: skip
    modules = []
    for utils in (theirs, ours):
        module = torch.nn.Module()
        module.config, module.rope_type = llama, rope_type
        module.max_seq_len_cached = module.original_max_seq_len = 100
        inv_freq, module.attention_scaling = utils.ROPE_INIT_FUNCTIONS[rope_type](llama, torch.device("cpu"))
        module.register_buffer("inv_freq", inv_freq, persistent=False)
        module.original_inv_freq = inv_freq.clone()
        modules.append((module, utils.dynamic_rope_update(lambda self, x, position_ids: self.inv_freq.clone())))
    for length in lengths:
        x, at = torch.zeros(1), torch.arange(length)[None]
        expected, found = (forward(module, x, at) for module, forward in modules)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=ROUNDINGS[rope_type] * EACH, atol=0)


def test_the_decorator_keeps_each_layer_types_own_history(names, backend, place):
    both = config(
        layer_types=["full", "sliding"],
        num_hidden_layers=2,
        model_type="llama",
        rope_parameters={
            "full": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
            "sliding": {"rope_type": "dynamic", "rope_theta": 1e3, "factor": 4.0},
        },
    )
    import_module(f"{backend.name}.nn" if backend.name == "mlx" else "torch")
    base = import_module("mlx.nn" if backend.name == "mlx" else "torch.nn").Module

    class Rotary(base):
        def __init__(self):
            super().__init__()
            self.config, self.rope_type = both, {"full": "dynamic", "sliding": "dynamic"}

        @names.dynamic_rope_update
        def forward(self, x, position_ids, layer_type=None):
            return getattr(self, f"{layer_type}_inv_freq")

    rotary, x = Rotary(), place(normal(1))
    far, near = (place(np.arange(length)[None]) for length in (40_000, 10))
    long = backend.to_numpy(rotary.forward(x, far, layer_type="full"))
    sliding = backend.to_numpy(rotary.forward(x, near, layer_type="sliding"))
    expected = tightrope.frequencies(tightrope.read(vars(both)).rope("full"), 40_000).inv_freq.astype(np.float32)
    np.testing.assert_array_equal(long, expected)
    plain = tightrope.frequencies(tightrope.read(vars(both)).rope("sliding"), 32_768).inv_freq.astype(np.float32)
    np.testing.assert_array_equal(sliding, plain)
