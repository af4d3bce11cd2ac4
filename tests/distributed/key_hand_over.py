"""Two processes: one rotates keys in PyTorch and sends them over TCP; one moves them in MLX and sends them back."""

import json
import os
import socket
import time
from dataclasses import replace

import numpy as np

import tightrope
from tightrope import keys

PORT = int(os.environ["MASTER_PORT"])
MODEL = tightrope.read(
    {"model_type": "gemma3_text", "num_hidden_layers": 6, "head_dim": 16, "sliding_window": 8, "rope_theta": 1e6}
)
RANDOM = np.random.default_rng(0)
PLAIN = [RANDOM.standard_normal((1, 2, 7, 16)).astype(np.float32) for _ in MODEL.layers]
VALUES = [RANDOM.standard_normal((1, 2, 7, 16)).astype(np.float32) for _ in MODEL.layers]
HERE = keys.record_of(MODEL, range(7), dtype="float32", kv_heads=2, tokens=tuple(range(7)))
THERE = replace(HERE, positions=tuple(range(100_000, 100_007)), layout="interleaved", order="bshd")


def parts(arrays, values=VALUES):
    for layer, array in enumerate(arrays):
        yield layer, "keys", array
        yield layer, "values", values[layer]


def received(file):
    record = keys.read_record(file)
    arrays = {(one.layer, one.part): one.array for one in keys.read_parts(file, record)}
    swap = record.order == "bshd"
    expected = [one.swapaxes(1, 2) if swap else one for one in VALUES]
    values = all(np.array_equal(arrays[layer, "values"], one) for layer, one in enumerate(expected))
    return record, [arrays[layer, "keys"] for layer in range(len(MODEL.layers))], values


def in_torch():
    import torch

    from tightrope.backends.torch import RotaryEmbedding

    rope = RotaryEmbedding(MODEL)
    own = [rope.for_layer(layer)(torch.from_numpy(k)) for layer, k in enumerate(PLAIN)]
    with socket.create_server(("127.0.0.1", PORT)) as server:
        server.settimeout(60)
        connection, _ = server.accept()
    connection.settimeout(60)
    with connection, connection.makefile("rwb") as file:
        keys.write_stream(file, HERE, parts(k.numpy() for k in own))
        record, arrays, values = received(file)
    back = [keys.move(torch.from_numpy(k.copy()), record, HERE, layer=at) for at, k in enumerate(arrays)]
    return {"back": max(float((a - b).abs().max()) for a, b in zip(back, own, strict=True)), "values": values}


def in_mlx():
    import mlx.core as mx

    from tightrope.backends.mlx import RotaryEmbedding

    mx.set_default_device(mx.cpu)
    for _ in range(600):
        try:
            connection = socket.create_connection(("127.0.0.1", PORT), timeout=60)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with connection, connection.makefile("rwb") as file:
        record, arrays, values = received(file)
        moved = [np.array(keys.move(mx.array(k), record, THERE, layer=at)) for at, k in enumerate(arrays)]
        keys.write_stream(file, THERE, parts(moved, [one.swapaxes(1, 2) for one in VALUES]))
    rope = RotaryEmbedding(MODEL)
    own = [np.array(rope.for_layer(at)(mx.array(k), offset=100_000)) for at, k in enumerate(PLAIN)]
    own = [k.reshape(1, 2, 7, 2, 8).swapaxes(-1, -2).reshape(k.shape).swapaxes(1, 2) for k in own]
    return {"there": max(float(np.abs(a - b).max()) for a, b in zip(moved, own, strict=True)), "values": values}


print(json.dumps(in_torch() if os.environ["RANK"] == "0" else in_mlx()))
