"""Who is compared: a backend on a device, exact arithmetic, and the bit-exact definition, behind one interface."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.protocol import Backend
from tightrope.backends.shared.ops import Order
from tightrope.rope import reference
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.frequencies import Precision
from tightrope.rope.reference import DType
from tightrope.rope.schedule import Policy
from tightrope.verify.parity.cases import Call

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Tensors:
    """What is rotated: q and k (batch, heads, seq, width) and the cotangents of their results, values of dtype."""

    q: Array
    k: Array
    q_cotangent: Array
    k_cotangent: Array
    dtype: DType


class Subject(Protocol):
    """Something that rotates positions into angles and rotates by them, with numpy in and out."""

    @property
    def name(self) -> str: ...

    @property
    def promises_bits(self) -> bool:
        """Its results are the definition's, bit for bit."""

    def cos_sin(self, rope: RopeConfig, call: Call, precision: Precision) -> tuple[Array, Array]:
        """Return cos and sin (batch, seq, pairs), attention factor in."""

    def rotate(self, rope: RopeConfig, call: Call, tensors: Tensors) -> tuple[Array, ...]:
        """Return q, and k where the call has one, rotated."""

    def gradient(self, rope: RopeConfig, call: Call, tensors: Tensors) -> tuple[Array, ...]:
        """Return the gradients with respect to q and k."""

    def trajectory(self, rope: RopeConfig, calls: Sequence[Call], policy: Policy) -> tuple[Array, Array]:
        """Return cos and sin of the last of these calls of one module."""


class _Numpy(ABC):
    """A reference: what is common to the two of them."""

    name: ClassVar[str]
    promises_bits: ClassVar[bool]

    @abstractmethod
    def cos_sin(self, rope: RopeConfig, call: Call, precision: Precision) -> tuple[Array, Array]: ...

    @abstractmethod
    def _turn(self, x: Array, cos: Array, sin: Array, dtype: DType, how: dict[str, Any]) -> Array: ...

    def rotate(self, rope: RopeConfig, call: Call, tensors: Tensors) -> tuple[Array, ...]:
        return self._apply(rope, call, _present(call, tensors.q, tensors.k), tensors.dtype, transpose=False)

    def gradient(self, rope: RopeConfig, call: Call, tensors: Tensors) -> tuple[Array, ...]:
        cotangents = _present(call, tensors.q_cotangent, tensors.k_cotangent)
        return self._apply(rope, call, cotangents, tensors.dtype, transpose=True)

    def trajectory(self, rope: RopeConfig, calls: Sequence[Call], policy: Policy) -> tuple[Array, Array]:
        return self.cos_sin(rope, calls[-1], "exact")

    def _apply(
        self, rope: RopeConfig, call: Call, arrays: tuple[Array, ...], dtype: DType, *, transpose: bool
    ) -> tuple[Array, ...]:
        cos, sin = (part[:, None] for part in self.cos_sin(rope, call, "exact"))
        how = {"layout": rope.layout, "side": rope.side, "transpose": transpose}
        return tuple(self._turn(x, cos, sin, dtype, how) for x in arrays)


class Exact(_Numpy):
    """float64 on the rounded inputs."""

    name = "exact"
    promises_bits = False

    def cos_sin(self, rope: RopeConfig, call: Call, precision: Precision) -> tuple[Array, Array]:
        return reference.cos_sin(rope, call.positions, seq_len=call.seq_len, precision=precision)

    def _turn(self, x: Array, cos: Array, sin: Array, dtype: DType, how: dict[str, Any]) -> Array:
        return reference.rotate(x, cos, sin, **how)


class Definition(_Numpy):
    """The rotation bit for bit, as every kernel must give it; precision "float32" has no such definition."""

    name = "definition"
    promises_bits = True

    def cos_sin(self, rope: RopeConfig, call: Call, precision: Precision) -> tuple[Array, Array]:
        return reference.cos_sin_bits(rope, call.positions, seq_len=call.seq_len)

    def _turn(self, x: Array, cos: Array, sin: Array, dtype: DType, how: dict[str, Any]) -> Array:
        return reference.rotate_bits(x, cos, sin, dtype=dtype, **how)


class OnDevice:
    """A backend on one of its devices."""

    def __init__(self, backend: Backend, device: str) -> None:
        self.backend = backend
        self.device = device
        # A bounded cache of its own: a module holds tables on the device.
        self._module = lru_cache(maxsize=4)(self._build)

    @property
    def name(self) -> str:
        return f"{self.backend.name}:{self.device}"

    @property
    def promises_bits(self) -> bool:
        # Every kernel does; a framework's own operations may be contracted and reordered.
        return not self.backend.path(self.device).startswith("framework operations")

    def cos_sin(self, rope: RopeConfig, call: Call, precision: Precision) -> tuple[Array, Array]:
        with self.backend.on(self.device):
            arguments = {"positions": call.positions, "seq_len": call.said.get("seq_len")}
            cos, sin = self._module(rope, precision).cos_sin(**self._arguments(arguments))
            return self.backend.to_numpy(cos), self.backend.to_numpy(sin)

    def rotate(self, rope: RopeConfig, call: Call, tensors: Tensors) -> tuple[Array, ...]:
        with self.backend.on(self.device):
            results = self._function(rope, call)(*self._inputs(call, tensors.q, tensors.k, tensors.dtype))
            return self._results(call, results)

    def gradient(self, rope: RopeConfig, call: Call, tensors: Tensors) -> tuple[Array, ...]:
        with self.backend.on(self.device):
            inputs = self._inputs(call, tensors.q, tensors.k, tensors.dtype)
            cotangents = self._inputs(call, tensors.q_cotangent, tensors.k_cotangent, tensors.dtype)
            return self._results(call, self.backend.vjp(self._function(rope, call), inputs, cotangents))

    def trajectory(self, rope: RopeConfig, calls: Sequence[Call], policy: Policy) -> tuple[Array, Array]:
        with self.backend.on(self.device):
            module = self.backend.RotaryEmbedding(rope, policy=policy)
            cos, sin = [module.cos_sin(**self._arguments(call.said)) for call in calls][-1]
            return self.backend.to_numpy(cos), self.backend.to_numpy(sin)

    def _build(self, rope: RopeConfig, precision: Precision) -> Any:
        return self.backend.RotaryEmbedding(rope, precision=precision)

    def _function(self, rope: RopeConfig, call: Call) -> Callable[..., tuple[Any, ...]]:
        """Return the function from (q, k) to what the module returns for them, always a tuple."""
        module = self._module(rope, "exact")
        arguments = self._arguments(call.said)
        if call.form == "angles":
            arguments = {"angles": module.angles(**arguments)}

        def function(*inputs: Any) -> tuple[Any, ...]:
            results = module(*inputs, order=call.order, **arguments)
            return results if isinstance(results, tuple) else (results,)

        return function

    def _arguments(self, said: Any) -> dict[str, Any]:
        return {name: self._argument(value) for name, value in said.items() if value is not None}

    def _argument(self, value: Any) -> Any:
        return self.backend.asarray(value, "int64", self.device) if isinstance(value, np.ndarray) else value

    def _inputs(self, call: Call, q: Array, k: Array, dtype: DType) -> tuple[Any, ...]:
        arrays = (arrange(x, call.order) for x in _present(call, q, k))
        return tuple(self.backend.asarray(x, dtype, self.device) for x in arrays)

    def _results(self, call: Call, results: tuple[Any, ...]) -> tuple[Array, ...]:
        return tuple(restore(self.backend.to_numpy(x), call.order) for x in results)


def _present(call: Call, q: Array, k: Array) -> tuple[Array, ...]:
    return (q,) if call.form == "alone" else (q, k)


def arrange(x: Array, order: Order) -> Array:
    """Return (batch, heads, seq, width) in another order of axes; packed tokens come from a batch of one."""
    if order == "bhsd":
        return x
    moved = np.ascontiguousarray(x.swapaxes(1, 2))
    return moved if order == "bshd" else moved.reshape(-1, *moved.shape[2:])


def restore(x: Array, order: Order) -> Array:
    """Undo `arrange`."""
    if order == "bhsd":
        return x
    return (x if order == "bshd" else x[None]).swapaxes(1, 2)
