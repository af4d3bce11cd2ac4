"""Positions of text, images and videos are those of transformers' own `get_rope_index` and of its vision towers."""

from types import SimpleNamespace

import numpy as np
import pytest

from tightrope import RopeConfigError
from tightrope.rope.positions import grid_positions, multimodal_positions
from tightrope.rope.positions.multimodal import CONVENTIONS

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

MODELS = {
    "qwen2_vl": ("qwen2_vl", "Qwen2VLModel"),
    "qwen2_5_vl": ("qwen2_5_vl", "Qwen2_5_VLModel"),
    "qwen3_vl": ("qwen3_vl", "Qwen3VLModel"),
    "glm4v": ("glm4v", "Glm4vModel"),
    "ernie4_5_vl": ("ernie4_5_vl_moe", "Ernie4_5_VLMoeModel"),
}
IMAGES = [[1, 4, 6], [1, 8, 4]]
VIDEOS = [[4, 4, 8], [2, 6, 4]]


def theirs(convention, kinds, mask=None, **options):
    """transformers' get_rope_index, on a model that has nothing but the configuration it reads."""
    module, name = MODELS[convention]
    cls = getattr(__import__(f"transformers.models.{module}.modeling_{module}", fromlist=[name]), name)
    vision = SimpleNamespace(spatial_merge_size=2, temporal_merge_size=2, tokens_per_second=options.pop("tps", 2))
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision))
    model.get_vision_position_ids = cls.get_vision_position_ids.__get__(model)
    kinds = torch.tensor(kinds)
    positions, delta = cls.get_rope_index(
        model,
        torch.zeros_like(kinds),
        kinds,
        torch.tensor(IMAGES),
        torch.tensor(VIDEOS),
        attention_mask=None if mask is None else torch.tensor(mask),
        **options,
    )
    return positions.numpy(), delta.numpy()[:, 0]


def video(convention, grid):
    """The tokens of a video: one run, or a run per frame between timestamps."""
    time, height, width = grid
    tokens = height * width // 4
    if CONVENTIONS[convention].split:
        return ([0] * 3 + [2] * tokens) * time
    return [2] * (tokens * time // CONVENTIONS[convention].temporal_merge)


def batch(convention):
    """Two sequences of one length: text, an image, text, a video; an image, a video, text."""
    rows = [
        [0] * 5 + [1] * 6 + [0] * 2 + video(convention, VIDEOS[0]) + [0],
        [1] * 8 + [0] * 4 + video(convention, VIDEOS[1]),
    ]
    longest = max(map(len, rows))
    kinds = [[0] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return kinds, mask


def ours(convention, kinds, mask=None, **options):
    if convention == "qwen2_5_vl":
        options.setdefault("tokens_per_second", 2)
    return multimodal_positions(
        kinds, convention=convention, image_grids=IMAGES, video_grids=VIDEOS, mask=mask, **options
    )


def assert_same(found, expected):
    for mine, their in zip(found, expected, strict=True):
        assert np.array_equal(mine, their)


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_positions_are_those_of_transformers(convention, padded):
    kinds, mask = batch(convention)
    mask = mask if padded else None
    assert_same(ours(convention, kinds, mask), theirs(convention, kinds, mask))


@pytest.mark.parametrize("seconds", [[0.5, 0.33], [1.0, 0.7]])
def test_seconds_of_video_become_positions_as_in_qwen2_5(seconds):
    kinds, mask = batch("qwen2_5_vl")
    expected = theirs("qwen2_5_vl", kinds, mask, second_per_grid_ts=seconds, tps=25)
    assert_same(ours("qwen2_5_vl", kinds, mask, seconds_per_grid=seconds, tokens_per_second=25), expected)


def test_text_alone_has_three_axes_alike():
    positions, delta = multimodal_positions([0] * 5, convention="qwen2_vl")
    assert np.array_equal(positions, np.tile(np.arange(5), (3, 1, 1)))
    assert delta.tolist() == [0]


def test_two_images_side_by_side_follow_one_another():
    """transformers takes one run of image tokens for one image; text between them, of no length, changes nothing."""
    positions, delta = multimodal_positions([1] * 14, convention="qwen2_vl", image_grids=IMAGES)
    first = multimodal_positions([1] * 6, convention="qwen2_vl", image_grids=IMAGES[:1])[0]
    second = multimodal_positions([1] * 8, convention="qwen2_vl", image_grids=IMAGES[1:])[0]
    assert np.array_equal(positions, np.concatenate([first, second + 3], axis=2))  # 3: the longer side of the first
    assert delta.tolist() == [3 + 4 - 14]


def test_delta_continues_the_sequence():
    kinds, _ = batch("qwen2_vl")
    positions, delta = ours("qwen2_vl", kinds)
    assert np.array_equal(positions.max(axis=(0, 2)) + 1, len(kinds[0]) + delta)


@pytest.mark.parametrize("time", [False, True], ids=["row and column", "with time"])
@pytest.mark.parametrize("merge", [1, 2])
def test_grids_of_a_tower_are_those_of_transformers(merge, time):
    from transformers.vision_utils import get_vision_position_ids

    expected = get_vision_position_ids(torch.tensor(VIDEOS + IMAGES), merge, include_temporal=time)
    found = grid_positions(VIDEOS + IMAGES, merge_size=merge, time=time)
    assert np.array_equal(found[:, 0].T, expected.numpy())


def test_a_grid_without_time_is_an_image():
    assert np.array_equal(grid_positions([[4, 6]]), grid_positions([[1, 4, 6]]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"convention": "qwen9"}, "convention must be one of 'qwen2_vl'"),
        ({"kinds": [0, 3]}, "kinds must be whole numbers 0 (text), 1 (image) or 2 (video)"),
        ({"kinds": [0.0, 1.0]}, "kinds must be whole numbers"),
        ({"mask": [1]}, "mask must have the shape of kinds (1, 8), got (1, 1)"),
        ({"image_grids": []}, "image_grids must cover every image token of kinds, got too few"),
        ({"image_grids": [[1, 4, 4], [1, 4, 4]]}, "image_grids must be one per image or video"),
        ({"image_grids": [[1, 4, 8]]}, "a grid of 8 merged tokens meets a run of 4"),
        ({"image_grids": [[1, 3, 4]]}, "multiples of merge_size (2)"),
        ({"image_grids": [[1, 0, 4]]}, "image_grids must be whole numbers > 0 of shape (count, 3)"),
        ({"image_grids": [[1, 4]]}, "image_grids must be whole numbers > 0 of shape (count, 3)"),
        ({"merge_size": 0}, "merge_size must be a whole number >= 1, got 0"),
        ({"temporal_merge_size": 2}, "temporal_merge_size has no effect in convention 'qwen2_vl'"),
        ({"tokens_per_second": 2}, "tokens_per_second has no effect in convention 'qwen2_vl'"),
        ({"seconds_per_grid": [1.0]}, "seconds_per_grid has no effect in convention 'qwen2_vl'"),
        ({"convention": "qwen2_5_vl", "video_grids": [[1, 2, 2]]}, "tokens_per_second is required"),
        (
            {"convention": "qwen2_5_vl", "tokens_per_second": 2, "seconds_per_grid": [1.0]},
            "seconds_per_grid must have one entry per video (0), got 1",
        ),
    ],
)
def test_what_cannot_fit_is_refused(change, text):
    good = {"kinds": [0] * 4 + [1] * 4, "convention": "qwen2_vl", "image_grids": [[1, 4, 4]]}
    given = {**good, **change}
    with pytest.raises(RopeConfigError) as caught:
        multimodal_positions(given.pop("kinds"), **given)
    assert text in str(caught.value)
