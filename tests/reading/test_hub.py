"""The name of a model on the Hugging Face hub: its config.json is fetched, and a path on this machine always wins."""

import inspect
import json
import sys

import pytest

import tightrope
from tightrope import RopeConfigError

CONFIG = {
    "model_type": "llama",
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "rope_theta": 5e5,
}


class Hub:
    """A stand-in for huggingface_hub that knows one model and remembers what was asked for."""

    def __init__(self, folder):
        self.asked = []
        self.online = True
        self.cached = False
        self.path = folder / "cached.json"
        self.path.write_text(json.dumps(CONFIG))

    def hf_hub_url(self, repo_id, filename):
        return f"https://hub/{repo_id}/{filename}"

    def get_hf_file_metadata(self, url):
        if not self.online:
            raise ConnectionError("offline mode is on\nand a second line")
        if url != "https://hub/org/name/config.json":
            raise FileNotFoundError(f"404: {url}")

    def hf_hub_download(self, *, repo_id, filename, local_files_only=False):
        if local_files_only and not self.cached:
            raise FileNotFoundError("not in the cache")
        assert self.online or local_files_only, "it would try for half a minute"
        self.asked.append((repo_id, filename))
        return str(self.path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub = Hub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return hub


def test_a_name_fetches_config_json_alone(hub):
    assert tightrope.read("org/name") == tightrope.read(CONFIG)
    assert hub.asked == [("org/name", "config.json")]


@pytest.mark.parametrize("weights", ["model.safetensors", "weights.00.safetensors", "model.safetensors.index.json"])
def test_a_model_folder_on_this_machine_wins(hub, tmp_path, weights):
    """A folder of safetensors, as Hugging Face and MLX save a model, is read by its config.json."""
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    (folder / weights).write_bytes(b"\0" * 64)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "rope_theta": 7.0}))
    assert tightrope.read("org/name").rope().base == 7.0
    assert hub.asked == []


def test_a_folder_without_config_json_is_not_looked_up(hub, tmp_path):
    (tmp_path / "org" / "name").mkdir(parents=True)
    with pytest.raises(RopeConfigError, match="no such file"):
        tightrope.read("org/name")
    assert hub.asked == []


def test_what_was_fetched_before_is_read_offline(hub):
    hub.online, hub.cached = False, True
    assert tightrope.read("org/name") == tightrope.read(CONFIG)


def test_a_model_that_the_hub_does_not_have_is_refused(hub):
    with pytest.raises(RopeConfigError, match=r"org/other: .* \(FileNotFoundError: 404: https://hub/org/other/config"):
        tightrope.read("org/other")


def test_offline_is_said_in_one_line(hub):
    hub.online = False
    with pytest.raises(RopeConfigError) as caught:
        tightrope.read("org/name")
    assert str(caught.value) == (
        "org/name: no such file or folder here, and its config.json cannot be fetched from the Hugging Face hub "
        "(ConnectionError: offline mode is on); go online, or give the path of a config.json"
    )


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # what Python takes for "cannot be imported"
    with pytest.raises(RopeConfigError, match=r"no such file or folder, and .* need huggingface_hub"):
        tightrope.read("org/name")


@pytest.mark.parametrize(
    "source", ["/org/name", "./org/name", "org/name/config.json", "org/name.json", "name", "org/", "../org/name", ""]
)
def test_what_is_no_name_is_not_looked_up(hub, source):
    with pytest.raises(RopeConfigError):
        tightrope.read(source)
    assert hub.asked == []


def test_a_path_object_is_never_a_name(hub, tmp_path):
    with pytest.raises(RopeConfigError, match="no such file"):
        tightrope.read(tmp_path.relative_to(tmp_path) / "org" / "name")
    assert hub.asked == []


@pytest.mark.parametrize("name", ["hf_hub_url", "get_hf_file_metadata", "hf_hub_download"])
def test_the_stand_in_takes_what_huggingface_hub_takes(name, tmp_path):
    theirs = inspect.signature(getattr(pytest.importorskip("huggingface_hub"), name)).parameters
    assert set(inspect.signature(getattr(Hub(tmp_path), name)).parameters) <= set(theirs)
