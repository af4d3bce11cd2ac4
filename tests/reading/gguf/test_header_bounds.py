"""What a GGUF header may hold: a sparse file of a few bytes on disk that claims more is refused before it is walked."""

import struct

import pytest

import tightrope
from tightrope.rope.reading.gguf import header

STRING, ARRAY, UINT8 = 8, 9, 0


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def of_strings(count):
    return text("a.b") + struct.pack("<IIQ", ARRAY, STRING, count)


def start(tensors, keys):
    return header.MAGIC + struct.pack("<IQQ", 3, tensors, keys)


# The bytes that stand in the file, how long it claims to be, and what is said of it.
BEYOND = {
    "keys": (start(0, header.MOST_KEYS + 1), 2**21, "metadata_kv_count must be <= 65,536"),
    "tensors": (start(header.MOST_TENSORS + 1, 0), 2**23, "tensor_count must be <= 262,144"),
    "strings": (start(0, 1) + of_strings(header.MOST_STRINGS + 1), 2**26, "a.b holds 4,194,305 strings"),
    "strings of a gigabyte": (start(0, 1) + of_strings(2**27 - 8), 2**30, "a.b holds 134,217,720 strings"),
    "a name": (start(0, 1) + struct.pack("<Q", header.LONGEST_NAME + 1), 2**20, "must have at most 65,535 bytes"),
    "the name of a tensor": (start(1, 0) + struct.pack("<Q", 2**20), 2**21, "must have at most 65,535 bytes"),
    "dimensions": (start(1, 0) + text("x") + struct.pack("<I", 2**31), 2**20, "must have at most 4 dimensions"),
    "lists of lists": (start(0, 1) + text("x") + struct.pack("<IIQ", ARRAY, ARRAY, 1), 2**20, "lists within a list"),
    "a list of an unknown type": (start(0, 1) + text("x") + struct.pack("<IIQ", ARRAY, 13, 1), 2**20, "from 0 to 12"),
}


@pytest.fixture
def sparse(tmp_path):
    """A function that writes these bytes into a file of that length, the rest of which is a hole."""

    def written(content, length):
        path = tmp_path / "sparse.gguf"
        with path.open("wb") as file:
            file.write(content)
            file.truncate(length)
        return path

    return written


@pytest.mark.parametrize("name", BEYOND)
def test_what_is_beyond_a_bound_is_refused_by_name(name, sparse):
    content, length, words = BEYOND[name]
    with pytest.raises(tightrope.RopeConfigError, match=words) as refused:
        tightrope.read(sparse(content, length))
    assert len(str(refused.value).splitlines()) == 1


def test_strings_count_over_all_lists(sparse, monkeypatch):
    monkeypatch.setattr(header, "MOST_STRINGS", 10)
    lists = b"".join(text(f"a.{index}") + struct.pack("<IIQ", ARRAY, STRING, 4) + bytes(32) for index in range(3))
    with pytest.raises(tightrope.RopeConfigError, match=r"a\.2 holds 4 strings; a header may have 10 in all"):
        tightrope.read(sparse(start(0, 3) + lists, 2**16))


@pytest.mark.parametrize("kind", sorted(header._NUMBERS))
def test_a_long_list_of_any_type_is_stepped_over(kind, sparse):
    count = 2**17
    content = start(0, 1) + text("x") + struct.pack("<IIQ", ARRAY, kind, count)
    with pytest.raises(tightrope.RopeConfigError, match=r"general\.architecture must be a string"):
        tightrope.read(sparse(content, len(content) + 8 * count))


def test_a_long_text_is_stepped_over(sparse):
    content = start(0, 1) + text("x") + struct.pack("<IQ", STRING, 2**24)
    with pytest.raises(tightrope.RopeConfigError, match=r"general\.architecture must be a string"):
        tightrope.read(sparse(content, len(content) + 2**24))
