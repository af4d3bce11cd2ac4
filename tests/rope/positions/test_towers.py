"""Positions of patches: rows, columns and times of grids, coordinates of centres, tokens that do not rotate."""

import math

import numpy as np
import pytest

from tightrope import RopeConfigError
from tightrope.rope.positions import centre_positions, grid_positions


def columns(positions):
    """Return the positions token by token, as tuples."""
    return [tuple(token) for token in positions[:, 0].T.tolist()]


GRIDS = {
    "row by row": ({}, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]),
    "in blocks of 2 × 2": ({"merge_size": 2}, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]),
    "the column first": ({"first": "column"}, [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1)]),
    "counted from 1": ({"start": 1}, [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (2, 4)]),
    "Llama 4": (
        {"first": "column", "start": 1, "after": 1},
        [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2), (3, 2), (4, 2), (0, 0)],
    ),
    "a class token before": (
        {"before": 1},
        [(0, 0), (0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)],
    ),
}


@pytest.mark.parametrize("name", GRIDS)
def test_patches_stand_where_the_tower_has_them(name):
    options, expected = GRIDS[name]
    assert columns(grid_positions([[2, 4]], **options)) == expected


def test_time_stands_in_front_and_is_counted_from_0():
    assert columns(grid_positions([[2, 1, 2]], time=True, start=1)) == [(0, 1, 1), (0, 1, 2), (1, 1, 1), (1, 1, 2)]


def test_the_column_comes_first_behind_the_time():
    assert columns(grid_positions([[2, 1, 2]], time=True, first="column")) == [
        (0, 0, 0),
        (0, 1, 0),
        (1, 0, 0),
        (1, 1, 0),
    ]


def test_each_image_has_its_own_tokens_around_it():
    assert columns(grid_positions([[1, 1], [1, 2]], start=1, after=1)) == [(1, 1), (0, 0), (1, 1), (1, 2), (0, 0)]


def test_centres_lie_symmetrically_in_a_turn_to_each_side():
    pi = math.pi
    found = centre_positions(1, 4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], np.float32([[0, 0, 0, 0], [-1.5 * pi, -0.5 * pi, 0.5 * pi, 1.5 * pi]]))


def test_centres_do_not_depend_on_how_many_patches_there_are():
    # The middle of three patches, and the border between the middle two of four, are the centre of the image.
    assert centre_positions(3, 1)[0, 0, 1] == 0
    assert centre_positions(4, 1)[0, 0, 1] == -centre_positions(4, 1)[0, 0, 2]


def test_tokens_before_the_patches_have_position_zero():
    found = centre_positions(2, 2, before=5, after=1)
    assert found.shape == (2, 1, 10)
    assert not found[..., [0, 1, 2, 3, 4, 9]].any()
    assert found[..., 5:9].all()


def test_centres_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    dinov3 = pytest.importorskip("transformers.models.dinov3_vit.modeling_dinov3_vit")
    coordinates = dinov3.get_patches_center_coordinates(5, 7, dtype=torch.float32, device="cpu")
    np.testing.assert_array_equal(centre_positions(5, 7)[:, 0].T, (2 * math.pi * coordinates).numpy())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: grid_positions([[2, 4]], first="height"), "first must be one of 'row', 'column', got 'height'"),
        (lambda: grid_positions([[2, 4]], start=0.5), "start must be a whole number, got 0.5"),
        (lambda: grid_positions([[2, 4]], before=-1), "before must be a whole number >= 0, got -1"),
        (lambda: grid_positions([[2, 3]], merge_size=2), "multiples of merge_size (2)"),
        (lambda: grid_positions([[0, 3]]), "grids must be whole numbers > 0"),
        (lambda: centre_positions(0, 4), "height must be a whole number >= 1, got 0"),
        (lambda: centre_positions(4, 4.0), "width must be a whole number >= 1, got 4.0"),
        (lambda: centre_positions(4, 4, after=True), "after must be a whole number >= 0, got True"),
    ],
)
def test_what_cannot_be_is_refused(call, text):
    with pytest.raises(RopeConfigError) as caught:
        call()
    assert text in str(caught.value)
