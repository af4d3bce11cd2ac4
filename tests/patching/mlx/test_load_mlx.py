"""`tightrope.load_mlx`: from a folder or from the hub, in any spelling, and what it says where that fails."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import copy
import functools
import importlib
import inspect
import json
import shutil
import sys

import pytest

pytest.importorskip("mlx_lm", exc_type=ImportError)
hub = pytest.importorskip("huggingface_hub")

import mlx.core as mx
from mlx.utils import tree_flatten

import tightrope
from models.tiny_models import SIZES, fields, save_tokenizer
from tightrope.backends.mlx.mlx_lm.rope import MLXRope
from tightrope.backends.patching.loading import _FILES, spellings

pytestmark = pytest.mark.backend("mlx")

OLDER = {"model_type": "llama", **SIZES, "rms_norm_eps": 1e-6, "rope_theta": 250_000.0}
NAME, COMMIT = "somebody/tiny", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder():
    """A model as transformers saves it."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from models import pairs

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


def test_mlx_lm_loads_no_gguf_file_and_the_message_says_what_to_give_instead(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", None)
    (tmp_path / "Tiny.GGUF").write_bytes(b"GGUF")
    for path in (tmp_path / "Tiny.GGUF", str(tmp_path), "tiny/model.gguf"):
        with pytest.raises(tightrope.RopeConfigError) as caught:
            tightrope.load_mlx(path)
        assert str(caught.value).startswith(f"{path}: mlx-lm loads no GGUF files, it only writes them; give the folder")
    from mlx_lm import utils

    assert "gguf" not in inspect.getsource(utils).lower()


@pytest.mark.parametrize("path", [3, None, [], b"models"])
def test_a_path_of_a_wrong_type_is_refused(path):
    with pytest.raises(tightrope.RopeConfigError, match="path must be a folder or the name of a repository"):
        tightrope.load_mlx(path)


def test_without_mlx_lm_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlx_lm", None)  # what Python takes for "cannot be imported"
    with pytest.raises(
        tightrope.BackendUnavailable, match=r'load_mlx needs mlx-lm; python -m pip install .*"mlx-lm>=\d'
    ):
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
    with pytest.raises(
        tightrope.RopeConfigError, match=r"mlx-lm cannot load \S+: FileNotFoundError: No safetensors found"
    ):
        tightrope.load_mlx(tmp_path)


def test_a_file_of_a_folder_is_no_folder(folder):
    with pytest.raises(tightrope.RopeConfigError, match=r"config.json: is a file; give the folder of the model$"):
        tightrope.load_mlx(folder / "config.json")


@pytest.mark.parametrize("path", ["x" * 9999, "x/" * 3000, "a\0b"], ids=["long", "deep", "NUL"])
def test_a_path_that_cannot_be_is_refused(path):
    with pytest.raises(tightrope.RopeConfigError) as raised:
        tightrope.load_mlx(path)
    assert len(str(raised.value)) < 400


def test_a_long_list_of_missing_weights_is_cut(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 99}))
    with pytest.raises(tightrope.RopeConfigError, match=r"ValueError: Missing \d+ parameters: .*…$") as raised:
        tightrope.load_mlx(tmp_path / "model")
    assert len(str(raised.value)) < 600


def test_load_mlx_says_what_mlx_lm_said(tmp_path):
    config = copy.deepcopy(OLDER)
    del config["rms_norm_eps"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(tmp_path / "model.safetensors"), {"a": mx.zeros(1)})
    with pytest.raises(tightrope.RopeConfigError, match=r"mlx-lm cannot load \S+: TypeError: .*rms_norm_eps"):
        tightrope.load_mlx(tmp_path)


def saved(folder, config, **others):
    """Save mlx-lm's model of a configuration in the older spelling, without a tokenizer."""
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(config))
    (folder / "config.json").write_text(json.dumps({**config, **others}))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    return folder


def counted(monkeypatch):
    """Return a list that grows with each model that mlx-lm is asked for."""
    import mlx_lm

    calls, load = [], mlx_lm.load

    @functools.wraps(load)
    def counting(*args, **kwargs):
        calls.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(mlx_lm, "load", counting)
    return calls


def test_what_no_spelling_of_a_rope_can_mend_is_said_at_once(tmp_path, monkeypatch):
    calls = counted(monkeypatch)
    saved(tmp_path, OLDER)  # without a tokenizer
    with pytest.raises(tightrope.RopeConfigError, match=r"^mlx-lm cannot load \S+: \w+: .*okenizer") as caught:
        tightrope.load_mlx(tmp_path)
    assert "\n" not in str(caught.value)
    mx.save_safetensors(str(tmp_path / "model.safetensors"), {"wrong.name": mx.zeros(1)})
    with pytest.raises(tightrope.RopeConfigError, match=r"mlx-lm cannot load \S+: ValueError: (Received|Missing) \d+"):
        tightrope.load_mlx(tmp_path)
    assert len(calls) == 2


def test_a_family_that_mlx_lm_lacks_is_said_at_once(tmp_path, monkeypatch):
    calls = counted(monkeypatch)
    saved(tmp_path, OLDER, model_type="persimmon")
    with pytest.raises(tightrope.RopeConfigError, match=r"cannot load \S+: ValueError: Model type persimmon not supp"):
        tightrope.load_mlx(tmp_path)
    assert len(calls) == 1


def test_a_misspelt_argument_is_named_before_anything_is_loaded(tmp_path, monkeypatch):
    calls = counted(monkeypatch)
    words = "load_mlx has no argument 'presicion'; did you mean 'precision'"
    with pytest.raises(tightrope.RopeConfigError, match=words):
        tightrope.load_mlx(saved(tmp_path, OLDER), presicion="exact")
    assert calls == []


def test_a_family_that_rotates_nothing_is_loaded_as_it_is(tmp_path):
    config = {"model_type": "gpt2", "n_ctx": 64, "n_embd": 32, "n_head": 2, "n_layer": 2, "n_positions": 64,
              "layer_norm_epsilon": 1e-5, "vocab_size": 128, "num_attention_heads": 2}  # fmt: skip
    save_tokenizer(saved(tmp_path, config))
    model, tokenizer = tightrope.load_mlx(tmp_path)
    assert tokenizer.encode("<5>") == [5]
    assert model(mx.array([[1, 2, 3]])).shape == (1, 3, 128)
    with pytest.raises(tightrope.RopeConfigError, match=r"gpt2\.Model \(.* has no rope to replace: no rotary pos"):
        tightrope.patch(model, tmp_path)
