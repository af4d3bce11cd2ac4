"""The rotary module and the decorator of `rope_utils` follow a sequence as transformers' do."""

import copy
import pickle
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tightrope
from samples.ported_calls import EACH, ROUNDINGS, config, normal
from tightrope import RopeConfigError


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
