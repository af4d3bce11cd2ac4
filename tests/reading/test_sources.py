"""Whatever a person points at: a file, its folder, a configuration within another one, an object; and what is none."""

import json
from pathlib import Path

import pytest

import tightrope

SHAPE = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 4, "max_position_embeddings": 8192}
YARN = {"factor": 4.0, "original_max_position_embeddings": 2048}


def config(model_type="llama", **keys):
    return {"model_type": model_type, **SHAPE, **keys}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: {"model_type": "llava", "text_config": text},
        lambda text: {"model_type": "qwen2_5_omni", "thinker_config": {"text_config": text}},
        lambda text: {"model_type": "deepseek_vl_v2", "language_config": text, "vision_config": {"hidden_size": 8}},
    ],
)
def test_the_text_part_is_found_inside(wrap):
    text = config(rope_theta=5e5)
    assert tightrope.read(wrap(text)) == tightrope.read(text)


def test_a_text_part_without_a_name_is_its_wrappers():
    text = {**SHAPE, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}, "rope_theta": 1e6}
    model = tightrope.read({"model_type": "qwen2_5_vl", "text_config": text})
    assert model.rope().mrope == tightrope.MRope(sections=(16, 24, 24))


def test_a_sub_configuration_is_saved_without_its_classs_defaults():
    # LLaVA 1.5 is published like this; LlamaConfig has 4096, 32 and 32.
    model = tightrope.read({"model_type": "llava", "text_config": {"model_type": "llama", "rope_theta": 1e4}})
    assert (model.rope().head_dim, len(model.layers)) == (128, 32)
    assert any("text_config.hidden_size is missing; the family's default 4096" in note for note in model.notes)


def test_a_configuration_object_is_read_by_its_to_dict():
    class Config:
        def to_dict(self):
            return config(rope_theta=5e5)

    assert tightrope.read(Config()) == tightrope.read(config(rope_theta=5e5))


@pytest.mark.parametrize("name", ["Qwen2VLTextConfig", "GPTNeoXConfig", "ModernBertDecoderConfig", "LlamaConfig"])
def test_a_class_name_says_what_has_no_model_type(name):
    values = {**SHAPE, "rope_theta": 1e4}
    config_class = type(name, (), {"to_dict": lambda self: dict(values)})
    assert not any("unknown model_type" in note for note in tightrope.read(config_class()).notes)


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_file_or_its_folder(tmp_path, as_type):
    (tmp_path / "config.json").write_text(json.dumps(config(rope_theta=5e5)), "utf-8")
    (tmp_path / "other.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(config(rope_theta=5e5)).encode())
    expected = tightrope.read(config(rope_theta=5e5))
    for path in (tmp_path, tmp_path / "config.json", tmp_path / "other.json"):
        assert tightrope.read(as_type(path)) == expected


def test_the_source_is_not_changed():
    values = config(rope_theta=5e5, rope_scaling={"rope_type": "yarn", **YARN})
    before = json.dumps(values)
    tightrope.read(values)
    assert json.dumps(values) == before


class TestFiles:
    def refused(self, path, text):
        with pytest.raises(tightrope.RopeConfigError) as caught:
            tightrope.read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert text in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"", "is not JSON"),
            (b"{", "is not JSON"),
            (b"\xff\xfe\x00", "is not JSON"),
            (b"rope_theta: 10000", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b'{"rope_theta": ' + b"9" * 5000 + b"}", "is not JSON"),
            (b"[]", "must hold a JSON object, got a list"),
            (b"null", "must hold a JSON object, got null"),
            (b"3", "must hold a JSON object, got a number"),
            (b'"config"', "must hold a JSON object, got a string"),
        ],
    )
    def test_that_hold_no_configuration(self, tmp_path, content, text):
        path = tmp_path / "config.json"
        path.write_bytes(content)
        self.refused(path, text)

    def test_that_are_huge_are_refused_before_they_are_read(self, tmp_path):
        path = tmp_path / "model.safetensors"
        with path.open("wb") as file:
            file.truncate(200 * 2**20)  # sparse: no disk is used, and a read would return zeros
        self.refused(path, "209,715,200 bytes is no configuration (limit 16,777,216)")

    def test_that_are_not_there(self, tmp_path):
        self.refused(tmp_path / "nowhere.json", "no such file; give the path of a config.json or of its folder")

    def test_that_are_on_the_web(self):
        address = "https://huggingface.co/org/name/raw/main/config.json"
        self.refused(address, "is an address, not a path; give 'org/name' of a model on the Hugging Face hub")

    def test_in_a_folder_without_one(self, tmp_path):
        with pytest.raises(tightrope.RopeConfigError, match=r"config\.json: no such file"):
            tightrope.read(tmp_path)

    def test_in_a_folder_that_holds_gguf_alone(self, tmp_path):
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        with pytest.raises(tightrope.RopeConfigError, match=r"no such file; give the path of .*model\.gguf$"):
            tightrope.read(tmp_path)

    def test_with_a_name_that_no_file_can_have(self):
        with pytest.raises(tightrope.RopeConfigError, match=r"cannot be opened|no such file"):
            tightrope.read("config\0.json")

    @pytest.mark.parametrize("path", ["x" * 9999, "x/" * 3000], ids=["long", "deep"])
    def test_with_a_path_that_is_too_long_once_and_cut(self, path):
        with pytest.raises(tightrope.RopeConfigError, match=r"…: cannot be opened: File name too long$") as raised:
            tightrope.read(path)
        assert len(str(raised.value)) < 400

    def test_name_themselves_in_every_problem(self, tmp_path):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config(rope_theta=0, head_dim=-1)), "utf-8")
        self.refused(path, "2 problems")

    def test_name_themselves_in_a_warning(self, tmp_path):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config(rope_scaling={"rope_type": "yarn", **YARN, "facter": 4.0})), "utf-8")
        with pytest.warns(tightrope.RopeWarning, match="config.json: unknown key"):
            tightrope.read(path)


@pytest.mark.parametrize("source", [None, 3, 1.5, ["config.json"], object()])
def test_a_source_of_another_kind_is_refused(source):
    with pytest.raises(tightrope.RopeConfigError, match="source must be a path, a dict or a configuration object"):
        tightrope.read(source)


def test_a_path_that_is_empty_is_not_this_folder(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(config(rope_theta=5e5)), "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tightrope.RopeConfigError, match=r"source must not be empty; give \. for this folder"):
        tightrope.read("")


def test_keys_must_be_strings():
    with pytest.raises(tightrope.RopeConfigError, match="keys must be strings, got 1"):
        tightrope.read({1: 2})
