"""Positions of patches, as vision towers take them: rows and columns of a grid, coordinates of centres."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.positions.multimodal import Integers, checked_grids
from tightrope.rope.support.validation import array, one_of, require, whole_number

First = Literal["row", "column"]


def grid_positions(
    grids: ArrayLike,
    *,
    merge_size: int = 1,
    time: bool = False,
    first: First = "row",
    start: int = 0,
    before: int = 0,
    after: int = 0,
) -> Integers:
    """Return the row and column of every patch of images and videos, one after the other, as a tower takes them.

    Args:
        grids: (images, 3): patches in time, height and width; or (images, 2): height and width.
        merge_size: Patches come in blocks of merge_size × merge_size, as Qwen's towers order them; 1: row by row.
        time: Put the time in front of row and column.
        first: Which comes first, row or column (SAM, Llama 4).
        start: What rows and columns are counted from (1 in Llama 4).
        before: Tokens in front of each image's patches that do not rotate (a class token): their positions are 0.
        after: The same behind them.

    Returns:
        int64 (2, 1, tokens), or (3, 1, tokens) with time.

    Raises:
        RopeConfigError: A grid is not of whole numbers > 0, its sides are not multiples of merge_size, or another
            argument is not allowed.
    """
    require([*one_of("first", first, ("row", "column")), *one_of("time", time, (True, False))])
    start = whole_number("start", start)
    sizes = array("grids", grids)
    if sizes.ndim == 2 and sizes.shape[1] == 2:
        sizes = np.insert(sizes, 0, 1, axis=1)
    merge = whole_number("merge_size", merge_size, 1)
    around = _around(before, after)
    cells = [_patches(grid, merge, start) for grid in checked_grids("grids", sizes, merge, 1)]
    found = np.concatenate([np.zeros((3, 0), np.int64), *(np.pad(cell, around) for cell in cells)], axis=1)
    found = found if first == "row" else found[[0, 2, 1]]
    return (found if time else found[1:])[:, None]


def centre_positions(height: int, width: int, *, before: int = 0, after: int = 0) -> NDArray[np.float32]:
    """Return the coordinates of the centres of an image's patches, row by row, as DINOv3's kin take them.

    position = 2π · (2 (i + ½) / n − 1) for patch i of n: from −2π to 2π from edge to edge, whatever the size

    Args:
        height: Patches from top to bottom.
        width: Patches from left to right.
        before: Tokens in front of the patches that do not rotate (class token and registers): their positions are 0.
        after: The same behind them.

    Returns:
        float32 (2, 1, tokens): row, then column; rounded at each step, as the models compute them.

    Raises:
        RopeConfigError: A number is not allowed.
    """
    around = _around(before, after)
    sides = [_centres(whole_number(name, side, 1)) for name, side in (("height", height), ("width", width))]
    cells = np.stack(np.meshgrid(*sides, indexing="ij")).reshape(2, -1)
    return np.pad(cells, around)[:, None]


def _patches(grid: tuple[int, int, int], merge: int, start: int) -> Integers:
    frames, height, width = grid
    # Blocks first, the patches within a block last.
    cells = np.indices((frames, height // merge, width // merge, merge, merge), np.int64).reshape(5, -1)
    return np.stack([cells[0], cells[1] * merge + cells[3] + start, cells[2] * merge + cells[4] + start])


def _centres(count: int) -> NDArray[np.float32]:
    halves = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    return np.float32(2 * np.pi) * (np.float32(2) * halves - np.float32(1))


def _around(before: int, after: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, 0), (whole_number("before", before, 0), whole_number("after", after, 0))
