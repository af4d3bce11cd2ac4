"""Small GGUF files, written by the `gguf` package as a converter writes them."""

import pytest

gguf = pytest.importorskip("gguf")

SHAPE = {
    "block_count": 4,
    "embedding_length": 256,
    "attention.head_count": 4,
    "context_length": 4096,
    "rope.freq_base": 5e5,
}


def write(path, architecture, keys, tensors=None, others=None, order=gguf.GGUFEndian.LITTLE):
    """Integers as uint32, numbers as float32, the tensors as they are; `others` are keys of no architecture."""
    writer = gguf.GGUFWriter(path, architecture, endianess=order)
    for name, value in [*((f"{architecture}.{key}", value) for key, value in keys.items()), *(others or {}).items()]:
        _add(writer, name, value)
    for name, tensor in (tensors or {}).items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer, name, value):
    if isinstance(value, list):
        writer.add_array(name, value)
    elif isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, str):
        writer.add_string(name, value)
    else:
        writer.add_float32(name, value)
