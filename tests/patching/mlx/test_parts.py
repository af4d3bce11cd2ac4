"""MLX models of which a process has a part: mlx-lm's pipelines and sharding, layers that another engine cut out."""

# imports follow the check that there is something to import

import importlib
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mlx_lm", exc_type=ImportError)

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

import tightrope
from harness import mlx_process
from models import tiny_models
from paths import ROOT
from tightrope.backends.mlx.mlx_lm.parts import split

pytestmark = pytest.mark.backend("mlx")

# Longer than four layers would take; a process that waits for a lost one is ended.
PATIENCE = 240
CONFIG = {
    "model_type": "qwen2", **tiny_models.SIZES, "num_hidden_layers": 5, "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 250_000.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose base only the newer spelling says, as mlx-lm would save it."""
    path = tmp_path_factory.mktemp("qwen2")
    (path / "config.json").write_text(json.dumps(CONFIG))
    weights = {name: value * 3 for name, value in tree_flatten(built().parameters())}
    mx.save_safetensors(str(path / "model.safetensors"), weights, metadata={"format": "mlx"})
    tiny_models.save_tokenizer(path)
    return path


def built():
    module = importlib.import_module("mlx_lm.models.qwen2")
    mx.random.seed(0)
    return module.Model(module.ModelArgs.from_dict({**CONFIG, "rope_theta": 250_000.0, "rope_scaling": None}))


@pytest.fixture(scope="module")
def whole(folder):
    return np.array(tightrope.load_mlx(folder)[0](mx.array(mlx_process.TOKENS)))


def spread(folder, tmp_path, processes, way):
    """Return what each of several processes saved."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port + rank}"] for rank in range(processes)]))
    running = []
    for rank in range(processes):
        group = {"MLX_RANK": str(rank), "MLX_HOSTFILE": str(hosts), "PYTHONPATH": str(ROOT / "tests" / "helpers")}
        command = [sys.executable, mlx_process.__file__, str(folder), way, str(tmp_path / f"{rank}.npz")]
        running.append(subprocess.Popen(command, env={**os.environ, **group}, stderr=subprocess.PIPE, text=True))
    try:
        failures = [process.communicate(timeout=PATIENCE)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * processes, failures
    return [np.load(tmp_path / f"{rank}.npz") for rank in range(processes)]


@pytest.mark.parametrize("processes", [2, 3])
def test_a_pipeline_gives_the_bits_of_the_whole_model(folder, whole, tmp_path, processes):
    for saved in spread(folder, tmp_path, processes, "pipeline_group"):
        np.testing.assert_array_equal(saved["logits"], whole)


def test_a_model_that_a_pipeline_cut_is_patched_by_the_layers_that_are_here(folder, whole, tmp_path):
    parts = spread(folder, tmp_path, 2, "split then patched")
    assert sorted(tuple(saved["layers"]) for saved in parts) == [(0, 1), (2, 3, 4)]
    for saved in parts:
        np.testing.assert_array_equal(saved["logits"], whole)


def test_weights_split_among_processes_give_the_logits_of_the_whole_model(folder, whole, tmp_path):
    for saved in spread(folder, tmp_path, 2, "tensor_group"):
        # Two sums of up to 96 products of float32 in another order, in each of five layers.
        np.testing.assert_allclose(saved["logits"], whole, rtol=0, atol=10 * 96 * 2.0**-24 * np.abs(whole).max())


def cut():
    """Return the middle layers of a model, as an engine that splits models itself leaves them."""
    model = built()
    model.model.layers = model.model.layers[2:4]
    return model


def test_layers_that_another_engine_cut_out_are_named_by_the_caller():
    model = cut()
    report = tightrope.patch(model, CONFIG, layers=range(2, 4))
    assert [(part.layer, part.module) for part in report.layers] == [
        (2, "layers.2.self_attn.rope"), (3, "layers.3.self_attn.rope")
    ]  # fmt: skip
    tightrope.unpatch(model)


def test_layers_that_another_engine_cut_out_and_nobody_named():
    with pytest.raises(tightrope.RopeConfigError, match=r"has 2 layers, its configuration 5.*patch\(…, layers=range"):
        tightrope.patch(cut(), CONFIG)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (range(2, 5), "one number for each of the 2 decoder layers here"),
        (range(4, 6), "must be >= 0 and < 5"),
        ([2.0, 3.0], "must be whole numbers, such as range"),
        ("23", "must be whole numbers, such as range"),
        (2, "must be whole numbers, such as range"),
    ],
)
def test_layers_that_cannot_be(layers, words):
    with pytest.raises(tightrope.RopeConfigError, match=f"layers {words}|layers must have {words}"):
        tightrope.patch(cut(), CONFIG, layers=layers)


def test_an_engine_that_leaves_none_in_place_of_earlier_layers():
    model = built()
    model.model.layers[:3] = [None] * 3
    assert [part.layer for part in tightrope.patch(model, CONFIG).layers] == [3, 4]


def test_a_group_of_a_wrong_type(folder):
    with pytest.raises(tightrope.RopeConfigError, match=r"pipeline_group must be a group of mx.distributed"):
        tightrope.load_mlx(folder, pipeline_group=2)


def test_a_model_that_mlx_lm_cannot_split():
    with pytest.raises(tightrope.RopeConfigError, match=r"mlx-lm cannot split mlx\.nn\..* by a tensor_group"):
        split(nn.Linear(2, 2), mx.distributed.init(), None, lazy=True)
