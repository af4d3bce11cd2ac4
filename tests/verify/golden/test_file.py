"""The golden file itself: what is damaged, edited, newer or foreign is refused in words before it is believed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tightrope
from samples import golden_files
from samples.golden_files import rewritten
from tightrope.verify import golden
from tightrope.verify.golden import file

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bytes of a golden file."""
    return golden_files.recorded(tmp_path_factory.mktemp("golden")).read_bytes()


@pytest.fixture
def path(written, tmp_path):
    """A golden file of one's own."""
    (tmp_path / "own.safetensors").write_bytes(written)
    return tmp_path / "own.safetensors"


def parts(content):
    """Return header and data of a safetensors file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def joined(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def edited(content, change):
    """Return the file with its header changed and nothing else."""
    header, data = parts(content)
    change(header)
    return joined(header, data)


def first(header):
    return header[min(name for name in header if name != "__metadata__")]


def put(key, value):
    return lambda header: header["__metadata__"].update({key: value})


def tell(change):
    def edit(header):
        story = json.loads(header["__metadata__"]["story"])
        change(story)
        header["__metadata__"]["story"] = json.dumps(story, sort_keys=True)

    return edit


def told(story):
    """Return the file with another story, digest and all."""

    def rewritten(content):
        digest = file._digest(story, safetensors.load(content))
        return edited(content, lambda header: header["__metadata__"].update(story=story, sha256=digest))

    return rewritten


REFUSED = {
    "empty": (lambda content: b"", "is no safetensors file"),
    "another format": (lambda content: b"\x89PNG\r\n\x1a\n" + bytes(100), "is no safetensors file"),
    "a huge header": (lambda content: (1 << 62).to_bytes(8, "little") + content[8:], "is no safetensors file"),
    "header cut off": (lambda content: content[:100], "is cut off: 100 bytes"),
    "data cut off": (lambda content: content[:-1], "is cut off or padded: its arrays need"),
    "padded": (lambda content: content + b"\0", "is cut off or padded: its arrays need"),
    "no JSON": (lambda content: joined([], b"")[:8] + b"{]", "its header is not JSON"),
    "deep JSON": (lambda content: (100000).to_bytes(8, "little") + b"[" * 100000, "its header is not JSON"),
    "a list": (lambda content: joined([], b""), "its header is not an object"),
    "foreign": (
        lambda content: safetensors.save({"weight": np.zeros(3)}),
        "not one that `tightrope golden write` wrote",
    ),
    "of another program": (
        lambda content: safetensors.save({"weight": np.zeros(3)}, metadata={"format": "pt"}),
        "not one that `tightrope golden write` wrote",
    ),
    "newer": (lambda content: edited(content, put("version", "2")), r"has format 2, this Tightrope reads up to 1"),
    "no version": (lambda content: edited(content, put("version", "-1")), "has no format version: .* says '-1'"),
    "an endless version": (lambda content: edited(content, put("version", "9" * 5000)), "has no format version: .*…$"),
    "a story that is no JSON": (told("once upon a time"), "its story is not JSON"),
    "a story that is no object": (told("[]"), "its story is not an object"),
    "a story with gaps": (told("{}"), "its story must hold source, configuration, "),
    "no story": (lambda content: edited(content, lambda header: header["__metadata__"].pop("story")), "has no story"),
    "edited story": (lambda content: edited(content, tell(lambda story: story.update(backend="mlx:gpu"))), "sha256"),
    "edited data": (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "does not match its sha256"),
    "another dtype": (
        lambda content: edited(content, lambda header: first(header).update(dtype="I64")),
        "has a dtype or a shape that no golden file has",
    ),
    "a negative size": (
        lambda content: edited(content, lambda header: first(header).update(shape=[-1, -3])),
        "has a dtype or a shape that no golden file has",
    ),
    "an endless shape": (
        lambda content: edited(content, lambda header: first(header).update(shape=[1 << 20] * 200_000)),
        "has a dtype or a shape that no golden file has",
    ),
    "a size beyond the file": (
        lambda content: edited(content, lambda header: first(header).update(shape=[1 << 20, 1 << 20])),
        "is cut off or padded",
    ),
    "overlapping arrays": (
        lambda content: edited(content, lambda header: first(header).update(data_offsets=[0, 4])),
        "is no golden file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_right_is_refused(case, written, tmp_path):
    spoil, says = REFUSED[case]
    (tmp_path / "bad.safetensors").write_bytes(spoil(written))
    with pytest.raises(tightrope.RopeConfigError, match=says) as raised:
        file.load(tmp_path / "bad.safetensors")
    assert str(raised.value).startswith(f"{tmp_path / 'bad.safetensors'}: ")


def test_a_missing_file_is_an_error_in_words(tmp_path):
    with pytest.raises(tightrope.RopeConfigError, match="cannot be read: No such file"):
        file.load(tmp_path / "none.safetensors")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(tightrope.RopeConfigError, match="is not a file"):
        file.load(tmp_path)


def test_size_is_checked_before_reading(path, monkeypatch):
    monkeypatch.setattr(file, "MAX_FILE", 1000)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was read"))
    with pytest.raises(tightrope.RopeConfigError, match="is larger than any golden file"):
        file.load(path)


CHANGED = {
    "an array gone": (lambda arrays: arrays.pop("default/rotation/float32/rows/q"), "rows/q' is missing"),
    "an array more": (lambda arrays: arrays.update(extra=np.zeros(3)), "'extra' does not belong to its configuration"),
    "another shape": (
        lambda arrays: arrays.update({"default/rotation/float32/rows/q": np.zeros(3, np.float32)}),
        "rows/q' has the dtype or the shape of another format",
    ),
    "another width": (
        lambda arrays: arrays.update({"default/rotation/float16/rows/q": np.zeros((2, 2, 4, 8))}),
        "rows/q' has the dtype or the shape of another format",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_arrays_that_do_not_fit_the_configuration_are_refused(case, path, golden_subject):
    change, says = CHANGED[case]
    rewritten(path, change)
    with pytest.raises(tightrope.RopeConfigError, match=says):
        golden.check(path, [golden_subject])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"head_dim": 1 << 15}, r"head_dim of rope 'default' must be <= 16384"),
        ({"max_position_embeddings": 10**30}, "max_position_embeddings must be <="),
        ({"rope_parameters": {"rope_theta": -1}}, "rope_theta must be"),
    ],
)
def test_a_configuration_that_no_model_has_is_refused_before_any_work(changes, says, path, golden_subject):
    story, arrays = file.load(path)
    file.write(path, replace(story, configuration={**story.configuration, **changes}), arrays)
    with pytest.raises(tightrope.RopeConfigError, match=says):
        golden.check(path, [golden_subject])


def test_an_array_that_is_transposed_in_memory_is_written_in_order(path):
    story, _ = file.load(path)
    file.write(path, story, {"a": np.arange(6.0).reshape(2, 3).T})
    np.testing.assert_array_equal(file.load(path)[1]["a"], np.arange(6.0).reshape(2, 3).T)


def test_a_missing_extra_is_named():
    script = """
import sys
sys.modules["safetensors"] = None
import pathlib, tightrope
from tightrope.verify.golden import file
try:
    file.load(pathlib.Path("any"))
except tightrope.RopeError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == 'golden files need safetensors; python -m pip install "safetensors>=0.5"\n'
