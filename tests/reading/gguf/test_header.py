"""The header of a GGUF file: what is in it, whatever else is in the file, and refusals of every damage."""

import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tightrope
from samples.gguf_files import SHAPE, gguf, write
from tightrope import RopeConfigError
from tightrope.rope.reading.gguf.file import open_file

VERSION = b"GGUF\3\0\0\0"
HALF = np.float32([0.5] * 32)
TOKENS = {"tokenizer.ggml.tokens": ["▁the", "", "of"], "tokenizer.ggml.scores": [0.5, -1.0, 2.0]}
VALUES = {**SHAPE, "a.text": "yarn", "a.flag": True, "a.numbers": [3, 1, 2], "a.flags": [True, False], "a.none": 0}


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "model.gguf", "llama", VALUES, {"rope_freqs": HALF}, TOKENS)


def damaged(path, after, *, at=0, by):
    """Overwrite the file's bytes `at` bytes after the first place where `after` ends."""
    content = bytearray(path.read_bytes())
    start = content.index(after) + len(after) + at
    content[start : start + len(by)] = by
    path.write_bytes(content)
    return path


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def test_the_values_are_those_that_the_gguf_package_reads(path):
    theirs = {key.removeprefix("llama."): field.contents() for key, field in gguf.GGUFReader(path).fields.items()}
    assert open_file(path).values == {key: theirs[key] for key in VALUES}


def test_the_tensors_are_those_that_the_gguf_package_reads(path):
    (tensor,) = gguf.GGUFReader(path).tensors
    assert open_file(path).divisors == {"rope_freqs": tuple(tensor.data.tolist())}


def test_the_package_is_not_needed(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)  # what Python takes for "cannot be imported"
    assert tightrope.read(path).rope().base == 5e5


def test_a_file_is_known_by_its_first_bytes_where_its_name_says_nothing(path):
    """Ollama names its files by their checksum."""
    assert tightrope.read(path.rename(path.with_name("sha256-6a0746a1ec1a"))).rope().base == 5e5


def test_both_byte_orders_give_the_same(path, tmp_path):
    big = gguf.GGUFEndian.BIG
    other = write(tmp_path / "big.gguf", "llama", VALUES, {"rope_freqs": HALF}, TOKENS, order=big)
    assert open_file(other) == open_file(path)


def test_a_float_is_the_decimal_that_was_written(tmp_path):
    assert open_file(write(tmp_path / "model.gguf", "llama", {"x": 0.1})).values["x"] == 0.1


def test_a_vocabulary_is_stepped_over(tmp_path):
    """A list of strings becomes its length, so that what follows is found and nothing of it is kept."""
    words = [f"word{index}" for index in range(5000)]
    file = write(tmp_path / "model.gguf", "llama", {"before": words, "long": list(range(5000)), "after": 7})
    values = open_file(file).values
    assert (repr(values["before"]), repr(values["long"]), values["after"]) == (
        "a list of 5,000 strings", "a list of 5,000 numbers", 7,
    )  # fmt: skip


def test_a_list_of_strings_where_numbers_belong_is_refused(tmp_path):
    file = write(tmp_path / "model.gguf", "qwen2vl", {**SHAPE, "rope.dimension_sections": ["a", "b"]})
    with pytest.raises(
        RopeConfigError, match=r"rope\.dimension_sections must be a list of whole numbers, got a list of"
    ):
        tightrope.read(file)


@pytest.mark.parametrize(
    ("after", "at", "by", "text"),
    [
        (b"GGUF", 0, u32(1), "version must be 2 or 3, got 1; convert the model again"),
        (VERSION, 0, u64(2**60), "tensor_count says 1,152,921,504,606,846,976, more than the rest"),
        (VERSION, 8, u64(2**63), "metadata_kv_count says 9,223,372,036,854,775,808, more than the rest"),
        (VERSION, 16, u64(2**64 - 1), "key 0 takes 18,446,744,073,709,551,615 bytes at byte 32"),
        (b"llama.a.text", 0, u32(99), "llama.a.text must have a value type from 0 to 12, got 99"),
        (b"llama.a.text", 4, u64(2**40), "llama.a.text takes 1,099,511,627,776 bytes at byte"),
        (b"llama.a.numbers", 4, u32(99), "llama.a.numbers must have a value type from 0 to 12, got 99"),
        (b"llama.a.numbers", 4, u32(9), "llama.a.numbers holds lists within a list"),
        (b"llama.a.numbers", 8, u64(2**62), "llama.a.numbers says 4,611,686,018,427,387,904, more than the rest"),
        (b"tokenizer.ggml.tokens", 8, u64(2**61), "tokenizer.ggml.tokens says 2,305,843,009,213,693,952, more than"),
        (b"tokenizer.ggml.tokens", 8, u64(30), "tokenizer.ggml.tokens takes"),
        (b"tokenizer.ggml.tokens", 16, u64(2**64 - 1), "tokenizer.ggml.tokens takes 18,446,744,073,709,551,"),
        (b"rope_freqs.weight", 0, u32(2**31), "tensor 'rope_freqs.weight' must have at most 4 dimensions, got 2,147"),
        (b"rope_freqs.weight", 4, u64(2**64 - 1), "tensor rope_freqs must hold one divisor per pair, got 18,446,744"),
        (b"rope_freqs.weight", 4, u64(4096), "tensor rope_freqs ends beyond the file's"),
        (b"rope_freqs.weight", 12, u32(8), "tensor rope_freqs must be float32 (type 0), got type 8"),
        (b"rope_freqs.weight", 16, u64(2**64 - 32), "tensor rope_freqs ends beyond the file's"),
    ],
)
def test_each_damage_is_refused_by_name(path, after, at, by, text):
    damaged(path, after, at=at, by=by)
    with pytest.raises(RopeConfigError) as caught:
        open_file(path)
    assert text in str(caught.value)


def test_a_key_that_stands_twice_is_refused(path):
    damaged(path, b"llama.a.none", at=-4, by=b"text")
    with pytest.raises(RopeConfigError, match=r"'llama\.a\.text' stands twice in the header"):
        open_file(path)


@pytest.mark.parametrize("alignment", [0, 3, 2**31 + 1])
def test_an_alignment_that_is_no_power_of_two_is_refused(tmp_path, alignment):
    path = write(tmp_path / "model.gguf", "llama", SHAPE, {"rope_freqs": HALF}, {"general.alignment": 32})
    damaged(path, b"general.alignment", at=4, by=u32(alignment))
    with pytest.raises(RopeConfigError, match=f"general.alignment must be a power of two, got {alignment}"):
        open_file(path)


def test_a_file_that_names_no_architecture_is_refused(path):
    damaged(path, b"general.architectur", by=b"x")
    with pytest.raises(RopeConfigError, match=r"general\.architecture must be a string and is missing"):
        open_file(path)


def outcome(path):
    """The model, or the source that the refusal names."""
    try:
        return tightrope.read(path)
    except RopeConfigError as error:
        return error.source


def test_a_file_cut_anywhere_is_refused_or_complete(path):
    """The cut may fall behind everything that is read: then, and only then, the file is read as the whole one is."""
    content, whole = path.read_bytes(), tightrope.read(path)
    cut = path.with_name("cut.gguf")
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        assert outcome(cut) in (whole, str(cut)), f"cut after {length} bytes"


def test_a_file_that_ends_in_a_vocabulary_is_refused_wherever_it_is_cut(tmp_path):
    path = write(tmp_path / "whole.gguf", "llama", SHAPE, None, {"tokenizer.ggml.tokens": ["", "", "the", "of"]})
    content = path.read_bytes()[: path.read_bytes().index(b"of") + 2]
    cut = path.with_name("cut.gguf")
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        assert outcome(cut) == str(cut), f"cut after {length} bytes"


@given(data=st.data())
def test_any_damage_is_refused_or_read(tmp_path_factory, data):
    """Whatever the bytes say, reading ends and raises nothing else."""
    path = tmp_path_factory.mktemp("damaged") / "model.gguf"
    content = bytearray(write(path, "llama", SHAPE, {"rope_freqs": HALF}, TOKENS).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(4, len(content) - 1))
        by = data.draw(st.sampled_from([b"\xff" * 8, b"\0" * 8, u64(2**62), u32(9), b"\x80"]) | st.binary(max_size=8))
        content[start : start + len(by)] = by
    path.write_bytes(content)
    outcome(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not a GGUF file: it must begin with b'GGUF', got b''"),
        (b"GGU", "is not a GGUF file"),
        (b"not a model", "is not a GGUF file"),
        (b"GGUF", "version must be 2 or 3"),
        (b"GGUF\3\0\0\0\1", "tensor_count takes 8 bytes at byte 8 and the file has 9"),
    ],
)
def test_what_is_not_gguf_is_refused(tmp_path, content, text):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(RopeConfigError) as caught:
        tightrope.read(path)
    assert text in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RopeConfigError, match=r"none\.gguf cannot be opened"):
        tightrope.read(tmp_path / "none.gguf")


@pytest.fixture
def parts(tmp_path):
    """A model in two parts, as gguf-split leaves it without tensors in the first: the divisors are in the second."""
    names = [tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    write(names[0], "llama", SHAPE, None, {"split.no": 0, "split.count": 2})
    write(names[1], "llama", {}, {"rope_freqs": HALF}, {"split.no": 1, "split.count": 2})
    return names


def test_the_tensors_of_a_model_in_parts_are_found_in_any_part(parts):
    assert open_file(parts[0]).divisors == {"rope_freqs": tuple(HALF.tolist())}


@pytest.mark.parametrize(
    ("given", "missing", "text"),
    [
        (1, None, "is part 2 of 2 of a model; give the first, m-00001-of-00002.gguf"),
        (0, 1, "m-00002-of-00002.gguf cannot be opened"),
    ],
)
def test_a_model_in_parts_needs_its_first_part_and_the_others_beside_it(parts, given, missing, text):
    if missing is not None:
        parts[missing].unlink()
    with pytest.raises(RopeConfigError) as caught:
        open_file(parts[given])
    assert text in str(caught.value)


def test_a_part_that_was_renamed_is_refused(parts):
    with pytest.raises(RopeConfigError, match=r"must keep its name, …-00001-of-00002\.gguf"):
        open_file(parts[0].rename(parts[0].with_name("model.gguf")))
