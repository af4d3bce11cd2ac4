"""A key cache that one framework filled is read by the other: decoding goes on as if on one machine."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import json
from dataclasses import replace

import pytest

pytest.importorskip("transformers")
pytest.importorskip("mlx_lm", exc_type=ImportError)
torch = pytest.importorskip("torch")

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

import tightrope
from models import hf_models, pairs
from samples.example_files import load
from tightrope import keys

pytestmark = pytest.mark.backend("torch", "mlx")

# Full attention, sliding and full layers with a window shorter than the prompt, LongRoPE, partial interleaved, MLA,
# layers without position.
VARIED = ["llama3.1", "gemma3_text", "phi3", "glm4", "deepseek_v3", "cohere2"]


@pytest.fixture(scope="module")
def hand_off():
    return load("cache_hand_off")


@pytest.fixture(params=VARIED)
def pair(request):
    """A pair with its torch model patched."""
    pair = pairs.pair(request.param)
    with tightrope.patched(pair.torch):
        yield pair


def prompt():
    return pairs.prompt(1, 24)[0].tolist()


def on_torch_alone(hand_off, pair):
    with torch.no_grad():
        cache = hf_models.cache_after(pair.torch, torch.tensor([prompt()[:-1]]))
    return hand_off.decode_torch(pair.torch, cache, prompt()[-1])


def mlx_cache(pair, tokens):
    cache = make_prompt_cache(pair.mlx)
    pair.mlx(mx.array([tokens]), cache=cache)
    return cache


def test_the_models_say_enough_for_their_tokens_to_prove_something(hand_off, pair):
    tokens = on_torch_alone(hand_off, pair)
    assert len(set(tokens)) > len(tokens) // 4


def test_mlx_goes_on_from_keys_that_torch_rotated(hand_off, pair, tmp_path):
    path = str(tmp_path / "cache.safetensors")
    hand_off.prefill(pair.torch, prompt(), path)
    cache, tokens = hand_off.load_mlx(path, pair.mlx, tightrope.read(pair.folder))
    assert hand_off.decode_mlx(pair.mlx, cache, tokens[-1]) == on_torch_alone(hand_off, pair)


def test_torch_goes_on_from_keys_that_mlx_rotated(hand_off, pair, tmp_path):
    path = str(tmp_path / "cache.safetensors")
    hand_off.save_mlx(mlx_cache(pair, prompt()[:-1]), prompt(), tightrope.read(pair.folder), path)
    cache, tokens = hand_off.load_torch(path, pair.torch)
    assert hand_off.decode_torch(pair.torch, cache, tokens[-1]) == on_torch_alone(hand_off, pair)


def test_a_window_that_turned_over_in_mlx_is_handed_over_oldest_first(hand_off, tmp_path):
    """Decoded one by one, mlx-lm's window is a ring: the next place lies in its middle."""
    pair, path = pairs.pair("gemma3_text"), str(tmp_path / "cache.safetensors")
    cache = mlx_cache(pair, prompt()[:3])
    for token in prompt()[3:-1]:
        pair.mlx(mx.array([[token]]), cache=cache)
    hand_off.save_mlx(cache, prompt(), tightrope.read(pair.folder), path)
    with tightrope.patched(pair.torch):
        back, tokens = hand_off.load_torch(path, pair.torch)
        assert hand_off.decode_torch(pair.torch, back, tokens[-1]) == on_torch_alone(hand_off, pair)


def test_keys_of_another_rotation_are_refused(hand_off, tmp_path):
    pair, path = pairs.pair("llama3.1"), str(tmp_path / "cache.safetensors")
    other = tightrope.read(json.loads((pair.folder / "config.json").read_text())).replace(base=10_000.0)
    hand_off.save_mlx(mlx_cache(pair, prompt()[:-1]), prompt(), other, path)
    with pytest.raises(ValueError, match="layers must be the same on both sides"):
        hand_off.load_mlx(path, pair.mlx, tightrope.read(pair.folder))


def test_keys_of_other_weights_are_refused(hand_off, tmp_path):
    pair, path = pairs.pair("llama3.1"), str(tmp_path / "cache.safetensors")
    hand_off.save_mlx(mlx_cache(pair, prompt()[:-1]), prompt(), tightrope.read(pair.folder), path, weights="theirs")
    with pytest.raises(ValueError, match="weights must be the same on both sides, got 'theirs' and 'ours'"):
        hand_off.load_mlx(path, pair.mlx, tightrope.read(pair.folder), weights="ours")


def test_a_declared_context_is_no_reason_to_refuse(hand_off, tmp_path):
    pair, path = pairs.pair("llama3.1"), str(tmp_path / "cache.safetensors")
    longer = tightrope.read(pair.folder).replace(max_position_embeddings=7777)
    hand_off.save_mlx(mlx_cache(pair, prompt()[:-1]), prompt(), longer, path)
    assert hand_off.load_mlx(path, pair.mlx, tightrope.read(pair.folder))[1] == prompt()


def test_a_model_that_was_not_patched_is_refused(hand_off, tmp_path):
    pair = pairs.pair("llama3.1")
    with pytest.raises(ValueError, match="must be patched"):
        hand_off.prefill(pair.torch, prompt(), str(tmp_path / "cache.safetensors"))


def test_the_example_explains_itself_when_called_wrongly(hand_off):
    with pytest.raises(SystemExit, match="prefill MODEL"):
        hand_off.main(["decode"])


def test_both_commands_of_the_example_run_one_after_the_other(hand_off, tmp_path, capsys):
    folder, path = str(pairs.pair("llama3.1").folder), str(tmp_path / "cache.safetensors")
    hand_off.main(["prefill", folder, "<5> <6> <7>", path])
    assert "angles and rotation" in capsys.readouterr().out
    hand_off.main(["decode", folder, path])
    assert len(capsys.readouterr().out.split()) == hand_off.TOKENS


@pytest.fixture(scope="module")
def received(hand_off, tmp_path_factory):
    """A file of MLX's, and the tokens that follow it."""
    pair, path = pairs.pair("llama3.1"), str(tmp_path_factory.mktemp("cache") / "cache.safetensors")
    hand_off.save_mlx(mlx_cache(pair, prompt()[:-1]), prompt(), tightrope.read(pair.folder), path)
    cache, tokens = hand_off.load_mlx(path, pair.mlx, tightrope.read(pair.folder))
    return path, hand_off.decode_mlx(pair.mlx, cache, tokens[-1], 12)


class TestKeysThatWereCachedOtherwise:
    """The receiver moves them: the decoding is that of keys it cached itself."""

    @pytest.mark.parametrize("changes", [
        {"positions": tuple(range(5000, 5023))}, {"rotated": False}, {"layout": "interleaved"},
        {"layout": "interleaved", "positions": tuple(range(-7, 16))},
    ], ids=["positions", "plain", "layout", "layout and positions"])  # fmt: skip
    @pytest.mark.parametrize("side", ["torch", "mlx"])
    def test_they_are_moved(self, hand_off, received, tmp_path, changes, side):
        pair, path = pairs.pair("llama3.1"), str(tmp_path / "moved.safetensors")
        arrays, metadata = mx.load(received[0], return_metadata=True)
        record = keys.KeyRecord.from_metadata(metadata)
        other = replace(record, **changes)
        for layer in range(len(record.layers)):
            arrays[f"{layer}.keys"] = keys.move(arrays[f"{layer}.keys"], record, other, layer=layer)
        mx.save_safetensors(path, arrays, metadata={**metadata, **other.to_metadata()})
        if side == "mlx":
            cache, tokens = hand_off.load_mlx(path, pair.mlx, tightrope.read(pair.folder))
            assert hand_off.decode_mlx(pair.mlx, cache, tokens[-1], 12) == received[1]
            return
        with tightrope.patched(pair.torch):
            cache, tokens = hand_off.load_torch(path, pair.torch)
            assert hand_off.decode_torch(pair.torch, cache, tokens[-1], 12) == received[1]


KINDS = {
    "llama3.1": {"full"},
    "gemma3_text": {"full", "window"},
    "deepseek_v3": {"latent"},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_record_says_what_each_layer_holds(hand_off, tmp_path, name):
    pair, path = pairs.pair(name), str(tmp_path / "cache.safetensors")
    with tightrope.patched(pair.torch):
        hand_off.prefill(pair.torch, prompt(), path)
    arrays, metadata = mx.load(path, return_metadata=True)
    kinds = keys.KeyRecord.from_metadata(metadata).kinds
    assert set(kinds) == KINDS[name]
    for layer, kind in enumerate(kinds):
        assert (arrays[f"{layer}.keys"].shape[2] < 23) == (kind == "window")


def test_a_window_is_no_cache_for_layers_that_see_everything(hand_off, tmp_path):
    pair, path = pairs.pair("gemma3_text"), str(tmp_path / "cache.safetensors")
    with tightrope.patched(pair.torch):
        hand_off.prefill(pair.torch, prompt(), path)
    arrays, metadata = mx.load(path, return_metadata=True)
    everything = [False] * (len(arrays) // 2)
    with pytest.raises(ValueError, match="kind must be the same on both sides"):
        hand_off._moved(arrays, metadata, tightrope.read(pair.folder), everything, None)
