"""The worked example of a cache that crosses LongRoPE's boundary shows what it says it shows."""

import numpy as np
import pytest

from samples.example_files import load


@pytest.fixture(scope="module")
def example():
    return load("longrope_boundary")


def test_moved_keys_are_as_good_as_recomputed_ones_and_kept_ones_are_not(backend, example):
    kept, moved, recomputed = example.errors(backend.name).values()
    assert moved <= 2 * recomputed  # one more rounding of every key
    assert kept > 1  # in standard deviations of the scores: another model


def test_it_prints_a_line_for_each_way(backend, example, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["longrope_boundary.py", backend.name])
    example.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(backend.name)
    assert [line.split("largest")[0].strip() for line in lines[1:]] == [
        "left as it was (transformers' forward)",
        "moved (rerotate)",
        "recomputed from scratch",
    ]


@pytest.mark.backend("torch")
def test_a_forward_call_of_transformers_leaves_cached_keys_as_they_were(example):
    torch = pytest.importorskip("torch")
    phi3 = pytest.importorskip("transformers.models.phi3.modeling_phi3")
    from models import hf_models

    scaling = example.ROPE.scaling
    config = phi3.Phi3Config(
        hidden_size=example.ROPE.head_dim, num_attention_heads=1, num_key_value_heads=1, num_hidden_layers=1,
        intermediate_size=8, vocab_size=8, pad_token_id=0,
        max_position_embeddings=16, original_max_position_embeddings=4,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": example.ROPE.base, "original_max_position_embeddings": 4,
            "short_factor": list(scaling.short_factor), "long_factor": list(scaling.long_factor),
        },
    )  # fmt: skip
    model = phi3.Phi3ForCausalLM(config).eval()
    with torch.no_grad():
        cache = hf_models.cache_after(model, torch.tensor([[1, 2, 3, 4]]))
        before = cache.layers[0].keys.clone()
        hf_models.cache_after(model, torch.tensor([[5]]), cache)
        fresh = hf_models.cache_after(model, torch.tensor([[1, 2, 3, 4, 5]])).layers[0].keys
    assert np.array_equal(cache.layers[0].keys[:, :, :4].numpy(), before.numpy())
    assert not torch.allclose(fresh[:, :, :4], before, atol=1e-3)
