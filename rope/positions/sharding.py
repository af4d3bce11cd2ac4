"""The shards of a sequence that several devices share (context parallelism), and the way back."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.validation import array, one_of, require, whole_number

Int64 = NDArray[np.int64]
Scheme = Literal["contiguous", "zigzag", "striped"]
Major = Literal["rank", "document"]


def shards(
    length: int, count: int, *, scheme: Scheme = "contiguous", block: int = 1,
    cu_seqlens: ArrayLike | None = None, major: Major = "rank",
) -> tuple[Int64, ...]:  # fmt: skip
    """Return the tokens of each shard of a sequence (context parallelism): (length // count,) each.

    They are positions and indices alike: `x[..., shard, :]` is what the shard holds, `positions[..., shard]` are its
    positions, of M-RoPE (axes, batch, seq) too; of packed documents `packed(cu_seqlens).positions[shard]`. No shard
    knows the length of its sequence: give `seq_len`, or run within `tightrope.sequence`.

    Args:
        length: Tokens of the sequence, of all documents together.
        count: Shards.
        scheme: `"contiguous"`: shard r has the r-th part. `"zigzag"`: of 2 · count parts the r-th from the front and
            the r-th from the back, so that causal attention is as much work for each. `"striped"`: blocks are dealt
            out in turn, shard r has every count-th from the r-th on.
        block: Tokens of a block of scheme "striped".
        cu_seqlens: (documents + 1,): where each packed document starts, and the length. Each is cut by itself.
        major: With cu_seqlens. `"rank"`: a shard has its part of every document (TransformerEngine, Megatron, and the
            per-document load balancer of PyTorch 2.14). `"document"`: the parts of the first document come first, then
            those of the next; shard r has the r-th part of that order (that balancer before PyTorch 2.14).

    Raises:
        RopeConfigError: The length, or a document, cannot be divided so.
    """
    length, count = whole_number("length", length, 0), whole_number("count", count, 1)
    block = whole_number("block", block, 1)
    require(one_of("scheme", scheme, ("contiguous", "zigzag", "striped")))
    require(one_of("major", major, ("rank", "document")))
    if block != 1 and scheme != "striped":
        raise RopeConfigError(f"block belongs to scheme 'striped', got {block} with {scheme!r}")
    if cu_seqlens is None:
        return _cut("length", length, count, scheme, block)
    starts = sequence_starts(cu_seqlens)
    if starts[-1] != length:
        raise RopeConfigError(f"cu_seqlens must end with length ({length}), got {starts[-1]}")
    lengths = np.diff(starts).tolist()
    documents = [
        [start + shard for shard in _cut("each document's length", one, count, scheme, block)]
        for start, one in zip(starts[:-1].tolist(), lengths, strict=True)
    ]
    if major == "document":
        return tuple(np.concatenate([_NONE, *(shard for parts in documents for shard in parts)]).reshape(count, -1))
    return tuple(np.concatenate([_NONE, *(parts[rank] for parts in documents)]) for rank in range(count))


_NONE = np.empty(0, np.int64)


def _cut(name: str, length: int, count: int, scheme: Scheme, block: int) -> tuple[Int64, ...]:
    """Return the tokens of each shard of one sequence, from 0."""
    parts = {"contiguous": count, "zigzag": 2 * count, "striped": count * block}[scheme]
    if length % parts:
        raise RopeConfigError(f"{name} must be a multiple of {parts} for {count} {scheme} shards, got {length}")
    tokens = np.arange(length, dtype=np.int64)
    if scheme == "striped":
        return tuple(tokens.reshape(-1, count, block).swapaxes(0, 1).reshape(count, -1))
    pieces = tokens.reshape(parts, -1)
    if scheme == "contiguous":
        return tuple(pieces)
    return tuple(np.concatenate((pieces[rank], pieces[parts - 1 - rank])) for rank in range(count))


def restore_order(parts: Sequence[ArrayLike]) -> Int64:
    """Return the way back: shards in a row, taken in this order, are the sequence again, (length,).

    `np.concatenate(shards)[restore_order(shards)]` counts from 0 to length − 1.

    Args:
        parts: What `shards` returned.

    Raises:
        RopeConfigError: They do not hold each token of a sequence once.
    """
    tokens = np.concatenate([_NONE, *(counts("parts", part) for part in parts)])
    order = np.argsort(tokens, kind="stable")
    if not np.array_equal(tokens[order], np.arange(len(tokens))):
        raise RopeConfigError(f"parts must hold each token from 0 on once, got {shortened(tokens.tolist())}")
    return order


def sequence_starts(cu_seqlens: ArrayLike) -> Int64:
    """Return cu_seqlens as int64 (sequences + 1,), after a check that it starts at 0 and does not fall."""
    starts = counts("cu_seqlens", cu_seqlens)
    if len(starts) == 0 or starts[0] != 0 or (np.diff(starts) < 0).any():
        raise RopeConfigError(f"cu_seqlens must start at 0 and not fall, got {starts.tolist()}")
    return starts


def counts(name: str, values: ArrayLike) -> Int64:
    """Return a list of whole numbers >= 0 as int64 (n,)."""
    found = array(name, values)
    if found.size == 0:
        found = found.astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (found < 0).any():
        raise RopeConfigError(f"{name} must be a list of whole numbers >= 0, got {shortened(found.tolist())}")
    return found.astype(np.int64)
