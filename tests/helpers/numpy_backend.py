"""A backend in numpy on the definition, right or with one chosen fault: what parity must pass, and must find."""

from contextlib import nullcontext

import numpy as np

from tightrope import backends
from tightrope.rope import reference
from tightrope.rope.config import RopeConfig
from tightrope.rope.errors import BackendUnavailable
from tightrope.rope.schedule import FrequencySchedule
from tightrope.verify.parity.subjects import arrange, restore


class Module:
    """A rotary module that rotates bit for bit as defined, unless it has a fault.

    Faults are functions: `rope` changes the configuration, `memory` the policy, `cos_sin` the angles, `result` what
    is returned.
    """

    def __init__(self, config, precision="exact", policy="row", **faults):
        self.rope = faults.get("rope", lambda rope: rope)(config)
        self.precision = precision
        self.faults = faults
        self.schedule = FrequencySchedule(self.rope, faults.get("memory", lambda policy: policy)(policy))
        self.state = self.schedule.start

    def cos_sin(self, positions, *, seq_len=None):
        if self.schedule.policy == "transformers":
            plan, self.state = self.schedule.plan([int(np.max(positions)) + 1], self.state)
            seq_len = plan.lengths[0]
        if self.precision == "exact":
            parts = reference.cos_sin_bits(self.rope, positions, seq_len=seq_len)
        else:
            parts = reference.cos_sin(self.rope, positions, seq_len=seq_len, precision="float32")
        return self.faults.get("cos_sin", lambda *parts: parts)(*(part.astype(np.float32) for part in parts))

    def angles(self, positions=None, *, offset=None, length=None, seq_len=None):
        if positions is None:
            positions = np.reshape(offset, (-1, 1)) + np.arange(length)
        return self.cos_sin(positions if positions.ndim > 1 else positions[None], seq_len=seq_len)

    def __call__(self, q, k=None, *, positions=None, offset=None, angles=None, seq_len=None, order="bhsd"):
        xs = [restore(x, order) for x in (q, k) if x is not None]
        cos, sin = angles or self.angles(positions, offset=offset, length=xs[0].shape[2], seq_len=seq_len)
        how = {"layout": self.rope.layout, "side": self.rope.side, "transpose": xs[0].is_cotangent}
        rotated = [reference.rotate_bits(x, cos[:, None], sin[:, None], dtype=x.dtype_name, **how) for x in xs]
        spoiled = [self.faults.get("result", lambda y, x: y)(y, x) for y, x in zip(rotated, xs, strict=True)]
        return tuple(arrange(named(y, xs[0].dtype_name), order) for y in spoiled)


class Named(np.ndarray):
    """float32 that knows the dtype whose values it holds, as numpy has no bfloat16, and whether to rotate it back."""

    def __array_finalize__(self, source):
        self.dtype_name = getattr(source, "dtype_name", None)
        self.is_cotangent = getattr(source, "is_cotangent", False)


def named(values, dtype):
    array = np.asarray(values).view(Named)
    array.dtype_name = dtype
    return array


class NumpyBackend:
    """Fits `backends.protocol.Backend`; see `Module` for the faults."""

    version = np.__version__

    def __init__(self, name="numpy", *, path="numpy", gradient=lambda gradients: gradients, **faults):
        self.name = name
        self.path = lambda device: path
        self.gradient = gradient
        self.RotaryEmbedding = lambda rope, precision="exact", policy="row": Module(rope, precision, policy, **faults)

    def devices(self):
        return ("cpu",)

    def on(self, device):
        return nullcontext()

    def asarray(self, values, dtype, device):
        if dtype.startswith("int"):
            return np.asarray(values, dtype)
        return named(reference.round_to(values, dtype), dtype)

    def to_numpy(self, array):
        return np.asarray(array)

    def compiled(self, function, device):
        return function

    def vjp(self, function, inputs, cotangents):
        # The rotation is linear: its gradient is the same call, transposed.
        for cotangent in cotangents:
            cotangent.is_cotangent = True
        return self.gradient(function(*cotangents))


def install(monkeypatch, **installed):
    """Make these the backends there are; a string is why one is not available."""

    def load(name):
        if isinstance(installed[name], str):
            raise BackendUnavailable(installed[name])
        return installed[name]

    monkeypatch.setattr(backends, "names", lambda: tuple(installed))
    monkeypatch.setattr(backends, "load", load)


def llama(**changes):
    """A small ordinary rope to compare on."""
    settings = {"head_dim": 16, "rotary_dim": 16, "base": 10000.0, "layout": "half", "max_position_embeddings": 4096}
    return RopeConfig(**settings | changes)
