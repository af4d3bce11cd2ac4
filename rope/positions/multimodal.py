"""Positions of text, images and videos in one sequence: the M-RoPE index of a language model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.validation import array, one_of, require, whole_number

Convention = Literal["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v", "ernie4_5_vl"]
Integers = NDArray[np.int64]

TEXT, IMAGE, VIDEO = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class VideoRule:
    """How a convention counts the frames of a video.

    Attributes:
        split: Each frame is a separate run of tokens, between texts that say when it was.
        seconds: Times are ⌊frame · tokens_per_second · seconds per frame⌋, not frame numbers.
        temporal_merge: Frames that become one in the language model, where the caller does not say.
    """

    split: bool = False
    seconds: bool = False
    temporal_merge: int = 1


CONVENTIONS: dict[str, VideoRule] = {
    "qwen2_vl": VideoRule(),  # arXiv:2409.12191, section 2.1
    "qwen2_5_vl": VideoRule(seconds=True),  # arXiv:2502.13923, section 2.1.3
    "qwen3_vl": VideoRule(split=True),
    "glm4v": VideoRule(split=True),
    "ernie4_5_vl": VideoRule(temporal_merge=2),
}


def multimodal_positions(
    kinds: ArrayLike,
    *,
    convention: Convention,
    image_grids: ArrayLike = (),
    video_grids: ArrayLike = (),
    mask: ArrayLike | None = None,
    merge_size: int = 2,
    temporal_merge_size: int | None = None,
    tokens_per_second: float | None = None,
    seconds_per_grid: Sequence[float] | None = None,
) -> tuple[Integers, Integers]:
    """Return the positions of a batch of mixed sequences, and what decoding adds to a token's index.

    Text advances all axes by one a token. An image or a video that begins at position p has (p + time, p + row,
    p + column) and advances all axes by the longer side of its merged grid. The k-th token after the sequence (k from
    0) has position seq + k + delta on every axis, seq counting the tokens that are not masked.

    Args:
        kinds: Whole numbers (seq,) or (batch, seq): 0 text, 1 image, 2 video.
        convention: The family; `CONVENTIONS` says how they differ.
        image_grids: (images, 3): patches in time, height and width of each, in the order of the batch.
        video_grids: (videos, 3), as image_grids.
        mask: As kinds: 0 or False for padding, whose positions are 0.
        merge_size: Patches along each side that become one token (the vision configuration's spatial_merge_size).
        temporal_merge_size: Frames that become one, in the conventions that merge them (ERNIE-4.5-VL; 2).
        tokens_per_second: Positions in a second of video (Qwen2.5-VL, needed with videos; the vision configuration's
            key of that name).
        seconds_per_grid: Seconds that a step in time of each video spans (Qwen2.5-VL; 1 where not given).

    Returns:
        Positions, int64 (3, batch, seq), in time, height and width; and delta, int64 (batch,).

    Raises:
        RopeConfigError: Tokens and grids do not fit, or an argument is not allowed.
    """
    require(one_of("convention", convention, CONVENTIONS))
    rule = CONVENTIONS[convention]
    if temporal_merge_size is not None and rule.temporal_merge == 1:
        raise RopeConfigError(f"temporal_merge_size has no effect in convention {convention!r}; leave it out")
    rows, kept = _rows(kinds, mask)
    merge = whole_number("merge_size", merge_size, 1)
    frames = rule.temporal_merge if temporal_merge_size is None else temporal_merge_size
    frames = whole_number("temporal_merge_size", frames, 1)
    images = (_block(grid, merge, 1, 1.0) for grid in checked_grids("image_grids", image_grids, merge, 1))
    grids = checked_grids("video_grids", video_grids, merge, frames)
    steps = _steps(rule, convention, len(grids), tokens_per_second, seconds_per_grid)
    videos = _videos(rule, grids, steps, merge, frames)
    positions, delta = np.zeros((3, *rows.shape), np.int64), np.zeros(len(rows), np.int64)
    blocks = {IMAGE: images, VIDEO: videos}
    for index, (row, keep) in enumerate(zip(rows, kept, strict=True)):
        positions[:, index, keep], end = _row(row[keep], blocks)
        delta[index] = end - keep.sum()
    for name, rest in (("image_grids", images), ("video_grids", videos)):
        if next(rest, None) is not None:
            raise RopeConfigError(f"{name} must be one per image or video of the batch, got more than kinds has")
    return positions, delta


def _row(kinds: Integers, blocks: dict[int, Iterator[Integers]]) -> tuple[Integers, int]:
    """Return (3, seq) for the tokens of one sequence, and the position after the largest of them."""
    parts, end = [np.zeros((3, 0), np.int64)], 0
    for kind, run in groupby(kinds.tolist()):
        length = len(list(run))
        if kind == TEXT:
            parts.append(np.tile(np.arange(end, end + length), (3, 1)))
            end += length
            continue
        for block in _filling(length, kind, blocks[kind]):
            parts.append(block + end)
            end += int(block[1:].max()) + 1
    row = np.concatenate(parts, axis=1)
    return row, int(row.max(initial=-1)) + 1  # the time of a video may have run past what follows it


def _filling(length: int, kind: int, blocks: Iterator[Integers]) -> Iterator[Integers]:
    """Yield the blocks that together have `length` tokens."""
    name, left = ("image" if kind == IMAGE else "video"), length
    while left > 0:
        block = next(blocks, None)
        if block is None:
            raise RopeConfigError(f"{name}_grids must cover every {name} token of kinds, got too few")
        left -= block.shape[1]
        if left < 0:
            raise RopeConfigError(
                f"{name}_grids must fit the runs of {name} tokens in kinds: a grid of {block.shape[1]} merged tokens "
                f"meets a run of {length}"
            )
        yield block


def _block(grid: tuple[int, int, int], merge: int, frames: int, interval: float) -> Integers:
    """Return (3, tokens): time, row and column of each merged token, from 0."""
    time, height, width = grid
    cells = np.indices((time // frames, height // merge, width // merge), np.int64).reshape(3, -1)
    # float32: the models compute it so, and ⌊ ⌋ shows every bit.
    cells[0] = (cells[0].astype(np.float32) * np.float32(interval)).astype(np.int64)
    return cells


def _videos(
    rule: VideoRule, grids: list[tuple[int, int, int]], steps: list[float], merge: int, frames: int
) -> Iterator[Integers]:
    if rule.split:
        return (_block((1, height, width), merge, 1, 1.0) for time, height, width in grids for _ in range(time))
    return (_block(grid, merge, frames, step) for grid, step in zip(grids, steps, strict=True))


def _steps(
    rule: VideoRule, convention: str, count: int, tokens_per_second: float | None, seconds: Sequence[float] | None
) -> list[float]:
    """Return, for each video, the positions from one step in time to the next."""
    if not rule.seconds:
        for name, value in (("tokens_per_second", tokens_per_second), ("seconds_per_grid", seconds)):
            if value is not None:
                raise RopeConfigError(f"{name} has no effect in convention {convention!r}; leave it out")
        return [1.0] * count
    if count and tokens_per_second is None:
        raise RopeConfigError(f"tokens_per_second is required for videos in convention {convention!r} and missing")
    found = np.ones(count) if seconds is None else _finite("seconds_per_grid", seconds, axes=1)
    if len(found) != count:
        raise RopeConfigError(f"seconds_per_grid must have one entry per video ({count}), got {len(found)}")
    rate = 0.0 if tokens_per_second is None else float(_finite("tokens_per_second", tokens_per_second, axes=0))
    return [rate * value for value in found.tolist()]


def _finite(name: str, value: ArrayLike, *, axes: Literal[0, 1]) -> NDArray[np.float64]:
    """Return value as float64, after a check that it is a finite number, or (axes 1) a list of them."""
    numbers = array(name, value)
    if numbers.dtype.kind not in "iuf" or numbers.ndim != axes or not np.isfinite(numbers).all():
        what = "a list of finite numbers" if axes else "a finite number"
        raise RopeConfigError(f"{name} must be {what}, got {shortened(value)}")
    return numbers.astype(np.float64)


def _rows(kinds: ArrayLike, mask: ArrayLike | None) -> tuple[Integers, NDArray[np.bool_]]:
    """Return kinds as (batch, seq), and which tokens are not padding."""
    rows = np.atleast_2d(array("kinds", kinds))
    if rows.ndim != 2 or (rows.size and (rows.dtype.kind not in "iu" or not np.isin(rows, (TEXT, IMAGE, VIDEO)).all())):
        raise RopeConfigError(
            f"kinds must be whole numbers 0 (text), 1 (image) or 2 (video) of shape (seq,) or (batch, seq), got "
            f"{rows.dtype} {rows.shape}"
        )
    kept = np.ones(rows.shape, np.bool_) if mask is None else np.atleast_2d(array("mask", mask)) != 0
    if kept.shape != rows.shape:
        raise RopeConfigError(f"mask must have the shape of kinds {rows.shape}, got {kept.shape}")
    return rows.astype(np.int64), kept


def checked_grids(name: str, grids: ArrayLike, merge: int, frames: int) -> list[tuple[int, int, int]]:
    """Return grids (time, height, width), after a check that they can be merged so."""
    sizes = array(name, grids)
    if sizes.size == 0:
        return []
    if sizes.ndim != 2 or sizes.shape[1] != 3 or sizes.dtype.kind not in "iu" or sizes.min() <= 0:
        raise RopeConfigError(f"{name} must be whole numbers > 0 of shape (count, 3), got {shortened(sizes.tolist())}")
    for time, height, width in sizes.tolist():
        if height % merge or width % merge or time % frames:
            raise RopeConfigError(
                f"{name} must have sides that are multiples of merge_size ({merge}) and times that are multiples of "
                f"temporal_merge_size ({frames}), got {[time, height, width]}"
            )
    return [(time, height, width) for time, height, width in sizes.tolist()]
