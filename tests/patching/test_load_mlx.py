"""`tightrope.load_mlx`: from a folder or from the hub, in any spelling, and what it says where that fails."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import copy
import json
import shutil
import sys

import pytest

pytest.importorskip("mlx_lm", exc_type=ImportError)
hub = pytest.importorskip("huggingface_hub")

import mlx.core as mx

import tightrope
from tightrope.backends.mlx.mlx_lm.rope import MLXRope
from tightrope.backends.patching.loading import _FILES, spellings
from tiny_models import SIZES, fields

pytestmark = pytest.mark.backend("mlx")

OLDER = {"model_type": "llama", **SIZES, "rms_norm_eps": 1e-6, "rope_theta": 250_000.0}
NAME, COMMIT = "somebody/tiny", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder():
    """A model as transformers saves it."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import pairs

    return pairs.pair("llama3.1").folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub's client, offline."""
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def is_loaded(loaded):
    model, tokenizer = loaded
    return all(isinstance(layer.self_attn.rope, MLXRope) for layer in model.layers) and tokenizer.encode("<5>") == [5]


@pytest.mark.backend("torch")
def test_a_folder_gives_a_patched_model_and_its_tokenizer(folder):
    assert is_loaded(tightrope.load_mlx(folder))


@pytest.mark.backend("torch")
def test_a_name_is_fetched_from_the_hub_with_all_that_mlx_lm_wants(folder, monkeypatch):
    asked = []

    def snapshot_download(name, *, allow_patterns):
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert is_loaded(tightrope.load_mlx(NAME))
    assert asked == [(NAME, _FILES)]


def test_all_that_mlx_lm_itself_fetches_of_a_model_is_fetched():
    from mlx_lm import utils

    assert set(_FILES) >= set(utils.DEFAULT_ALLOW_PATTERNS)


@pytest.mark.backend("torch")
def test_offline_a_model_is_taken_from_the_cache_of_the_hub_s_client(folder, cache):
    kept = cache / f"models--{NAME.replace('/', '--')}"
    shutil.copytree(folder, kept / "snapshots" / COMMIT)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(COMMIT)
    assert is_loaded(tightrope.load_mlx(NAME))


@pytest.mark.usefixtures("cache")
def test_offline_a_model_that_was_never_fetched_is_said_to_be_missing():
    with pytest.raises(tightrope.RopeConfigError) as caught:
        tightrope.load_mlx(NAME)
    message = str(caught.value)
    assert message.startswith(f"{NAME}: no such folder here, and it cannot be fetched from the Hugging Face hub (")
    assert message.endswith("); go online, or give the path of a folder with config.json and safetensors")
    assert "\n" not in message


@pytest.mark.parametrize("path", ["./models/tiny", "models/tiny/model.safetensors.json", "/models/tiny"])
def test_a_path_that_is_no_folder_is_not_looked_up(path, monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", None)
    with pytest.raises(tightrope.RopeConfigError, match=r"^\S+: no such folder$"):
        tightrope.load_mlx(path)


@pytest.mark.parametrize("path", [3, None, [], b"models"])
def test_a_path_of_a_wrong_type_is_refused(path):
    with pytest.raises(tightrope.RopeConfigError, match="path must be a folder or the name of a repository"):
        tightrope.load_mlx(path)


def test_without_mlx_lm_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlx_lm", None)  # what Python takes for "cannot be imported"
    with pytest.raises(tightrope.BackendUnavailable, match=r'load_mlx needs mlx-lm; pip install "tightrope\[mlx-lm\]"'):
        tightrope.load_mlx(tmp_path)


@pytest.mark.parametrize("name", ["llama3.1", "gemma3_text", "phi3", "stablelm"])
def test_load_mlx_first_offers_mlx_lm_both_spellings(name):
    first = next(spellings(tightrope.read(fields(name))))
    assert {"rope_parameters", "rope_scaling"} <= first.keys()


def test_load_mlx_of_a_folder_without_configuration(tmp_path):
    with pytest.raises(tightrope.RopeConfigError, match="no such file"):
        tightrope.load_mlx(tmp_path)


def test_load_mlx_of_a_folder_without_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OLDER))
    with pytest.raises(FileNotFoundError, match="No safetensors found"):
        tightrope.load_mlx(tmp_path)


def test_load_mlx_says_what_mlx_lm_said(tmp_path):
    config = copy.deepcopy(OLDER)
    del config["rms_norm_eps"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(tmp_path / "model.safetensors"), {"a": mx.zeros(1)})
    with pytest.raises(tightrope.RopeConfigError, match=r"mlx-lm cannot load .*rms_norm_eps"):
        tightrope.load_mlx(tmp_path)
