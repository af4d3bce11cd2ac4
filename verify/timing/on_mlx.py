"""Who is timed on MLX: Tightrope, a copy, and `mx.fast.rope`; see `tightrope.verify.timing`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import mlx.core as mx

from tightrope.backends.mlx.interop import on
from tightrope.backends.mlx.module import RotaryEmbedding
from tightrope.rope.config.rope import RopeConfig
from tightrope.verify.timing.work import OURS, YARDSTICK, Contender, Work

__all__ = ["absent", "contenders", "on", "peak"]

Run = Callable[[], object]
Apply = Callable[[mx.array, mx.array], Sequence[mx.array]]

_FAST: Final = "mx.fast.rope"


def contenders(work: Work, rope: RopeConfig, device: str) -> dict[str, Contender]:
    """Return who can do this work, by name, the yardstick first; nobody rotates in place, for arrays do not change."""
    if work.task == "in place":
        return {}
    if work.task == "angles":
        return _angles(work, rope)
    q, k = (_random(work, heads, rope.head_dim) for heads in (work.heads, work.kv_heads))
    mx.eval(q, k)
    found = {YARDSTICK: Contender(_evaluated(_copy(work, q, k)))}
    for name, apply, remark in _appliers(work, rope):
        call = _differentiated(apply, q, k) if work.task == "with gradient" else partial(apply, q, k)
        found[name] = Contender(_evaluated(call), remark)
    return found


def absent(work: Work, rope: RopeConfig, device: str) -> dict[str, str]:
    """Return the libraries that do not take part, with the reason."""
    if work.task in ("in place", "angles") or (rope.side == "head" and work.order == "bhsd"):
        return {}
    return {_FAST: "rotates the first channels in order bhsd only"}


def _positions(work: Work) -> mx.array:
    return mx.arange(work.seq)[None]


def _angles(work: Work, rope: RopeConfig) -> dict[str, Contender]:
    """Return who computes cos and sin from positions."""
    rotary, positions = RotaryEmbedding(rope), _positions(work)
    cos, sin = rotary.cos_sin(positions, seq_len=work.seq)
    mx.eval(cos, sin)
    copy = _evaluated(lambda: (_copied(cos), _copied(sin)))
    return {
        YARDSTICK: Contender(copy),
        OURS: Contender(_evaluated(lambda: rotary.cos_sin(positions, seq_len=work.seq))),
    }


def _random(work: Work, heads: int, width: int) -> mx.array:
    shape = (1, heads, work.seq, width) if work.order == "bhsd" else (1, work.seq, heads, width)
    return mx.random.normal(shape).astype(getattr(mx, work.dtype))


def _copy(work: Work, q: mx.array, k: mx.array) -> Callable[[], Sequence[mx.array]]:
    # With gradient: results and gradients. Not the gradient of a copy, for which MLX fills and adds whole arrays.
    written = [q, k] * (2 if work.task == "with gradient" else 1)
    return lambda: [_copied(x) for x in written]


def _copied(x: mx.array) -> mx.array:
    # MLX has no copy that it would not leave out; joining two halves writes every element once.
    return mx.concatenate([x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]], axis=-1)


def _evaluated(call: Callable[[], Sequence[mx.array]]) -> Run:
    def evaluated() -> object:
        results = call()
        mx.eval(*results)
        return results

    return evaluated


def _differentiated(apply: Apply, q: mx.array, k: mx.array) -> Callable[[], Sequence[mx.array]]:
    # Results as well as gradients: nobody's gradient needs the results, and MLX leaves out what nobody asks for.
    def step(q: mx.array, k: mx.array) -> list[mx.array]:
        results, gradients = mx.vjp(lambda *xs: list(apply(*xs)), [q, k], [q, k])
        return [*results, *gradients]

    # As training steps are: within a gradient MLX compiles nothing by itself, not even what is compiled outside of one.
    compiled: Callable[..., Sequence[mx.array]] = mx.compile(step)
    return partial(compiled, q, k)


def _appliers(work: Work, rope: RopeConfig) -> Iterator[tuple[str, Apply, str]]:
    """Yield who rotates q and k into new arrays: name, function, remark."""
    yield OURS, _ours(work, rope), ""
    if _FAST not in absent(work, rope, ""):
        remark = "" if work.task == "by position" else "computes angles too"
        yield _FAST, lambda q, k: (_fast(q, rope), _fast(k, rope)), remark


def _ours(work: Work, rope: RopeConfig) -> Apply:
    rotary, positions, order = RotaryEmbedding(rope), _positions(work), work.order
    if work.task == "by position":
        seq_len = work.seq if rope.scaling.follows_length else None
        return lambda q, k: rotary(q, k, positions=positions, seq_len=seq_len, order=order)
    angles = rotary.cos_sin(positions, seq_len=work.seq)
    mx.eval(*angles)
    return lambda q, k: rotary(q, k, angles=angles, order=order)


def _fast(x: mx.array, rope: RopeConfig) -> mx.array:
    return mx.fast.rope(
        x, rope.rotary_dim, traditional=rope.layout == "interleaved", base=rope.base, scale=1.0, offset=0
    )


def peak(call: Run, device: str) -> int | None:
    """Return how many bytes a call held at once beyond what was there before."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    call()
    return max(0, mx.get_peak_memory() - before)
