"""Who is timed on PyTorch: Tightrope, a copy, and the libraries that are installed; see `tightrope.backends.timing`."""

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch

from tightrope.backends.kernels.angles import Table
from tightrope.backends.timing import OURS, YARDSTICK, Work
from tightrope.backends.torch.module import RotaryEmbedding, rotate
from tightrope.rope.config import RopeConfig

Call = Callable[[], object]
Apply = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class Inputs:
    """q and k of some work with its angles, without the attention factor: a hundred rotations in place stay finite."""

    work: Work
    rope: RopeConfig
    positions: torch.Tensor
    table: Table
    q: torch.Tensor
    k: torch.Tensor


def contenders(work: Work, rope: RopeConfig, device: str) -> dict[str, Call]:
    """Return who can do this work, by name, the yardstick first."""
    given = _inputs(work, rope, device)
    if work.task == "angles":
        return dict(_angles(given))
    appliers = dict(_appliers(given))
    if work.task == "with gradient":
        return {name: _differentiated(given, apply) for name, apply in appliers.items()}
    calls: dict[str, Call] = {name: partial(apply, given.q, given.k) for name, apply in appliers.items()}
    return calls | _in_place(given) if work.task == "in place" else calls


def _inputs(work: Work, rope: RopeConfig, device: str) -> Inputs:
    positions = torch.arange(work.seq, device=device)[None]
    cos, sin = RotaryEmbedding(rope).cos_sin(positions, seq_len=work.seq)
    factor = (cos[..., :1] ** 2 + sin[..., :1] ** 2).sqrt()
    tensors = []
    for heads in (work.heads, work.kv_heads):
        x = torch.randn(1, heads, work.seq, rope.head_dim, device=device).to(getattr(torch, work.dtype))
        tensors.append(x if work.order == "bhsd" else x.transpose(1, 2).contiguous())
    return Inputs(work, rope, positions, Table(cos=cos / factor, sin=sin / factor), *tensors)


def _in_place(given: Inputs) -> dict[str, Call]:
    rotary, q, k, order = RotaryEmbedding(given.rope), given.q, given.k, given.work.order
    angles, q_copy, k_copy = (given.table.cos, given.table.sin), torch.empty_like(q), torch.empty_like(k)
    return {
        YARDSTICK: lambda: (q_copy.copy_(q), k_copy.copy_(k)),
        OURS: lambda: rotary.rotate_(q, k, angles=angles, order=order),
    }


def _differentiated(given: Inputs, apply: Apply) -> Call:
    leaves = [x.detach().requires_grad_() for x in (given.q, given.k)]

    def call() -> object:
        return torch.autograd.grad(apply(*leaves), leaves, (given.q, given.k))

    return call


def _appliers(given: Inputs) -> Iterator[tuple[str, Apply]]:
    """Yield who rotates q and k into new tensors."""
    yield YARDSTICK, lambda q, k: (q.clone(), k.clone())
    yield OURS, _ours(given)
    for package, make in _LIBRARIES.items():
        apply = make(given) if find_spec(package) is not None else None
        if apply is None:
            continue
        yield package, apply
        if given.work.compiled:
            yield f"{package}, compiled", torch.compile(apply)


def _ours(given: Inputs) -> Apply:
    rope, order = given.rope, given.work.order
    table = {"cos": given.table.cos, "sin": given.table.sin}
    return lambda q, k: rotate(q, k, **table, layout=rope.layout, side=rope.side, order=order)


def _whole_half(given: Inputs) -> bool:
    return given.rope.layout == "half" and given.rope.rotary_dim == given.rope.head_dim


def _whole_interleaved(given: Inputs) -> bool:
    return given.rope.layout == "interleaved" and given.rope.rotary_dim == given.rope.head_dim


def _full_width(given: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin as transformers' modules give them: for all channels, in the dtype of q."""
    cos, sin = (torch.cat((part, part), -1).to(given.q.dtype) for part in (given.table.cos, given.table.sin))
    return cos, sin


def _transformers(given: Inputs) -> Apply | None:
    if not _whole_half(given):
        return None
    apply = import_module("transformers.models.llama.modeling_llama").apply_rotary_pos_emb
    cos, sin = _full_width(given)
    axis = 1 if given.work.order == "bhsd" else 2
    return lambda q, k: apply(q, k, cos, sin, unsqueeze_dim=axis)


def _liger(given: Inputs) -> Apply | None:
    if not _whole_half(given) or given.work.order != "bhsd" or given.q.device.type != "cuda":
        return None
    apply = import_module("liger_kernel.transformers.rope").liger_rotary_pos_emb
    cos, sin = _full_width(given)
    return lambda q, k: apply(q, k, cos, sin)


def _flash_attn(given: Inputs) -> Apply | None:
    if given.rope.side != "head" or given.work.order != "bshd" or given.q.device.type != "cuda":
        return None
    apply = import_module("flash_attn.layers.rotary").apply_rotary_emb
    cos, sin = (part[0].to(given.q.dtype) for part in (given.table.cos, given.table.sin))
    how = {"interleaved": given.rope.layout == "interleaved"}
    return lambda q, k: (apply(q, cos, sin, **how), apply(k, cos, sin, **how))


def _rotary_embedding_torch(given: Inputs) -> Apply | None:
    if not _whole_interleaved(given) or given.work.order != "bhsd":
        return None
    module = import_module("rotary_embedding_torch").RotaryEmbedding(given.rope.rotary_dim, theta=given.rope.base)
    module.to(given.q.device)
    return lambda q, k: (module.rotate_queries_or_keys(q), module.rotate_queries_or_keys(k))


def _torchtune(given: Inputs) -> Apply | None:
    if not _whole_interleaved(given) or given.work.order != "bshd":
        return None
    module = import_module("torchtune.modules").RotaryPositionalEmbeddings(
        given.rope.head_dim, max_seq_len=given.work.seq, base=given.rope.base
    )
    module.to(given.q.device)
    return lambda q, k: (module(q), module(k))


_LIBRARIES: Final[dict[str, Callable[[Inputs], Apply | None]]] = {
    "transformers": _transformers,
    "liger_kernel": _liger,
    "flash_attn": _flash_attn,
    "rotary_embedding_torch": _rotary_embedding_torch,
    "torchtune": _torchtune,
}


def _angles(given: Inputs) -> Iterator[tuple[str, Call]]:
    """Yield who computes cos and sin from positions."""
    cos, sin = given.table.cos, given.table.sin
    yield YARDSTICK, lambda: (cos.clone(), sin.clone())
    rotary, positions = RotaryEmbedding(given.rope), given.positions
    yield OURS, lambda: rotary.cos_sin(positions, seq_len=given.work.seq)
    if find_spec("transformers") is not None:
        llama = import_module("transformers.models.llama.modeling_llama")
        parameters = {"rope_type": "default", "rope_theta": given.rope.base}
        config = llama.LlamaConfig(head_dim=given.rope.rotary_dim, rope_parameters=parameters)
        module, x = llama.LlamaRotaryEmbedding(config).to(cos.device), torch.empty(1, device=cos.device)
        yield "transformers", lambda: module(x, positions)


def on(device: str) -> AbstractContextManager[object]:
    """Run what follows on this device, whose tensors say themselves where they are.

    Not `torch.device(device)`: within it every operation and every attribute of a tensor takes a detour through Python.
    """
    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()


def peak(call: Call, device: str) -> int | None:
    """Return how many bytes a call held at once beyond what was there before; None where nothing tells."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _resident_peak(call) if device == "cpu" else None


_CLEAR: Final = Path("/proc/self/clear_refs")
_STATUS: Final = Path("/proc/self/status")


def _resident_peak(call: Call) -> int | None:
    """Return how far resident memory rose: Linux tells, in pages."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # or memory that was freed before would serve unseen
        _CLEAR.write_text("5")  # resets the high-water mark
    except (AttributeError, OSError):
        return None
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _status(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
