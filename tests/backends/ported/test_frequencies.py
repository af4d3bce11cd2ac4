"""The frequencies of `rope_utils` are those of transformers' functions of that name, the same bits on every backend."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

import tightrope
from samples.ported_calls import BLOCKS, EACH, PAIRS, ROUNDINGS, config
from tightrope import RopeConfigError
from tightrope.rope.scaling import rope_types


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
