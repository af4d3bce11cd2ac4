"""MLX models of which a process has a part: layers that another engine cut out, models that cannot be split."""

import pytest

pytest.importorskip("mlx_lm", exc_type=ImportError)

import mlx.core as mx
import mlx.nn as nn

import tightrope
from models.mlx_lm_models import CONFIG, built, save
from tightrope.backends.mlx.mlx_lm.parts import split

pytestmark = pytest.mark.backend("mlx")


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


def test_a_group_of_a_wrong_type(tmp_path):
    save(tmp_path)
    with pytest.raises(tightrope.RopeConfigError, match=r"pipeline_group must be a group of mx.distributed"):
        tightrope.load_mlx(tmp_path, pipeline_group=2)


def test_a_model_that_mlx_lm_cannot_split():
    with pytest.raises(tightrope.RopeConfigError, match=r"mlx-lm cannot split mlx\.nn\..* by a tensor_group"):
        split(nn.Linear(2, 2), mx.distributed.init(), None, lazy=True)
