"""Who is timed on MLX: Tightrope, a copy, and `mx.fast.rope`; see `tightrope.backends.timing`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import mlx.core as mx

from tightrope.backends.mlx.host import on
from tightrope.backends.mlx.module import RotaryEmbedding, rotate
from tightrope.backends.timing import OURS, YARDSTICK, Work
from tightrope.rope.config import RopeConfig

__all__ = ["contenders", "on", "peak"]

Call = Callable[[], object]
Apply = Callable[[mx.array, mx.array], Sequence[mx.array]]


def contenders(work: Work, rope: RopeConfig, device: str) -> dict[str, Call]:
    """Return who can do this work, by name, the yardstick first; nobody rotates in place, for arrays do not change."""
    if work.task == "in place":
        return {}
    positions = mx.arange(work.seq)[None]
    cos, sin = RotaryEmbedding(rope).cos_sin(positions, seq_len=work.seq)
    mx.eval(cos, sin)
    if work.task == "angles":
        rotary = RotaryEmbedding(rope)
        copy = _evaluated(lambda: (_copied(cos), _copied(sin)))
        return {YARDSTICK: copy, OURS: _evaluated(lambda: rotary.cos_sin(positions, seq_len=work.seq))}
    q, k = (_random(work, heads, rope.head_dim) for heads in (work.heads, work.kv_heads))
    mx.eval(q, k)
    appliers = dict(_appliers(work, rope, cos, sin))
    if work.task == "with gradient":
        return {name: _evaluated(_differentiated(apply, q, k)) for name, apply in appliers.items()}
    return {name: _evaluated(partial(apply, q, k)) for name, apply in appliers.items()}


def _random(work: Work, heads: int, width: int) -> mx.array:
    shape = (1, heads, work.seq, width) if work.order == "bhsd" else (1, work.seq, heads, width)
    return mx.random.normal(shape).astype(getattr(mx, work.dtype))


def _copied(x: mx.array) -> mx.array:
    # MLX has no copy that it would not leave out; joining two halves writes every element once.
    return mx.concatenate([x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]], axis=-1)


def _evaluated(call: Callable[[], Sequence[mx.array]]) -> Call:
    def evaluated() -> object:
        results = call()
        mx.eval(*results)
        return results

    return evaluated


def _differentiated(apply: Apply, q: mx.array, k: mx.array) -> Callable[[], Sequence[mx.array]]:
    return lambda: mx.vjp(lambda *xs: list(apply(*xs)), [q, k], [q, k])[1]


def _appliers(work: Work, rope: RopeConfig, cos: mx.array, sin: mx.array) -> Iterator[tuple[str, Apply]]:
    """Yield who rotates q and k into new arrays."""
    yield YARDSTICK, lambda q, k: (_copied(q), _copied(k))
    how: dict[str, Any] = {"layout": rope.layout, "side": rope.side, "order": work.order}
    yield OURS, lambda q, k: rotate(q, k, cos=cos, sin=sin, **how)
    if rope.side == "head" and work.order == "bhsd":
        yield "mx.fast.rope", lambda q, k: (_fast(q, rope), _fast(k, rope))


def _fast(x: mx.array, rope: RopeConfig) -> mx.array:
    return mx.fast.rope(
        x, rope.rotary_dim, traditional=rope.layout == "interleaved", base=rope.base, scale=1.0, offset=0
    )


def peak(call: Call, device: str) -> int | None:
    """Return how many bytes a call held at once beyond what was there before."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    call()
    return max(0, mx.get_peak_memory() - before)
