"""Who is timed on PyTorch: Tightrope, a copy, and the libraries that are installed; see `tightrope.verify.timing`."""

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import torch

from tightrope.backends.shared.angles import Table
from tightrope.backends.torch.module import RotaryEmbedding
from tightrope.rope.config.rope import RopeConfig
from tightrope.verify.timing.torch_libraries import LIBRARIES, Apply, Inputs, transformers_module
from tightrope.verify.timing.work import OURS, YARDSTICK, Contender, Work

Run = Callable[[], object]


def contenders(work: Work, rope: RopeConfig, device: str) -> dict[str, Contender]:
    """Return who can do this work, by name, the yardstick first."""
    inputs = _inputs(work, rope, device)
    if work.task == "angles":
        return dict(_angles(inputs, device))
    found = {YARDSTICK: Contender(_copy(inputs))}
    for name, apply, remark in _appliers(inputs, device):
        found[name] = Contender(_called(inputs, apply), remark)
    return found


def absent(work: Work, rope: RopeConfig, device: str) -> dict[str, str]:
    """Return the libraries that do not take part, with the reason."""
    libraries = LIBRARIES if work.task != "angles" else [one for one in LIBRARIES if one.name == "transformers"]
    reasons = {library.name: library.absent(work, rope, device) for library in libraries}
    return {name: reason for name, reason in reasons.items() if reason}


def _inputs(work: Work, rope: RopeConfig, device: str) -> Inputs:
    positions = torch.arange(work.seq, device=device)[None]
    cos, sin = RotaryEmbedding(rope).cos_sin(positions, seq_len=work.seq)
    factor = (cos[..., :1] ** 2 + sin[..., :1] ** 2).sqrt()
    tensors = []
    for heads in (work.heads, work.kv_heads):
        x = torch.randn(1, heads, work.seq, rope.head_dim, device=device).to(getattr(torch, work.dtype))
        tensors.append(x if work.order == "bhsd" else x.transpose(1, 2).contiguous())
    return Inputs(work, rope, positions, Table(cos=cos / factor, sin=sin / factor), *tensors)


def _called(inputs: Inputs, apply: Apply) -> Run:
    if inputs.work.task != "with gradient":
        return partial(apply, inputs.q, inputs.k)
    leaves = [x.detach().requires_grad_() for x in (inputs.q, inputs.k)]
    return lambda: torch.autograd.grad(apply(*leaves), leaves, (inputs.q, inputs.k))


def _appliers(inputs: Inputs, device: str) -> Iterator[tuple[str, Apply, str]]:
    """Yield who rotates q and k: name, function, remark."""
    yield OURS, _ours(inputs), ""
    for library in LIBRARIES:
        if library.absent(inputs.work, inputs.rope, device):
            continue
        apply, remark = library.apply(inputs)
        yield library.name, apply, remark
        if inputs.work.compiled:
            yield f"{library.name}, compiled", torch.compile(apply), remark


def _copy(inputs: Inputs) -> Run:
    q, k = inputs.q, inputs.k
    if inputs.work.task == "with gradient":
        # Results and gradients. Not what autograd makes of a clone: its backward pass hands on what it got, uncopied.
        return lambda: (q.clone(), k.clone(), q.clone(), k.clone())
    if inputs.work.task != "in place":
        return lambda: (q.clone(), k.clone())
    q_copy, k_copy = torch.empty_like(q), torch.empty_like(k)
    return lambda: (q_copy.copy_(q), k_copy.copy_(k))


def _ours(inputs: Inputs) -> Apply:
    rotary, order, positions = RotaryEmbedding(inputs.rope), inputs.work.order, inputs.positions
    angles = inputs.table.cos, inputs.table.sin
    if inputs.work.task == "by position":
        seq_len = inputs.work.seq if inputs.rope.scaling.follows_length else None
        return lambda q, k: rotary(q, k, positions=positions, seq_len=seq_len, order=order)
    rotate = rotary.rotate_ if inputs.work.task == "in place" else rotary
    return lambda q, k: rotate(q, k, angles=angles, order=order)


def _angles(inputs: Inputs, device: str) -> Iterator[tuple[str, Contender]]:
    """Yield who computes cos and sin from positions."""
    cos, sin = inputs.table.cos, inputs.table.sin
    yield YARDSTICK, Contender(lambda: (cos.clone(), sin.clone()))
    rotary, positions = RotaryEmbedding(inputs.rope), inputs.positions
    yield OURS, Contender(lambda: rotary.cos_sin(positions, seq_len=inputs.work.seq))
    if "transformers" not in absent(inputs.work, inputs.rope, device):
        module, x = transformers_module(inputs.rope, cos.device), torch.empty(1, device=cos.device)
        yield "transformers", Contender(lambda: module(x, positions), "every angle twice")


def on(device: str) -> AbstractContextManager[object]:
    """Run what follows on this device, whose tensors say themselves where they are.

    Not `torch.device(device)`: within it every operation and every attribute of a tensor takes a detour through Python.
    """
    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()


def peak(call: Run, device: str) -> int | None:
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


def _resident_peak(call: Run) -> int | None:
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
