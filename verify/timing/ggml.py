"""ggml's rotation, of llama.cpp, as the wheel `xllamacpp` carries it: a graph of two operations on its CPU backend."""

import ctypes
from ctypes import c_bool, c_char, c_float, c_int, c_int64, c_size_t, c_uint8, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

TYPES: Final = {"float32": 0, "float16": 1}
"""The dtypes that its rotation takes, by ggml's numbers."""
_INT32: Final = 26
_MODES: Final = {"half": 2, "interleaved": 0}  # NEOX and NORMAL
_ROPE: Final = (c_void_p, *[c_void_p] * 4, *[c_int] * 3, *[c_float] * 6)
_PLAIN: Final = (1.0, 0.0, 1.0, 32.0, 1.0)  # scale, and YaRN's four: none
_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "ggml_new_tensor_3d": (c_void_p, c_void_p, c_int, c_int64, c_int64, c_int64),
    "ggml_new_tensor_1d": (c_void_p, c_void_p, c_int, c_int64),
    "ggml_get_data": (c_void_p, c_void_p),
    "ggml_new_graph": (c_void_p, c_void_p),
    "ggml_build_forward_expand": (None, c_void_p, c_void_p),
    "ggml_free": (None, c_void_p),
    "ggml_rope_ext": _ROPE,
    "ggml_rope_ext_inplace": _ROPE,
}


class _Parameters(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("buffer", c_void_p), ("no_alloc", c_bool))


class _Plan(ctypes.Structure):
    """ggml_cplan: its first fields, and room for those of later versions."""

    _fields_ = (("work_size", c_size_t), ("work_data", c_void_p), ("threads", c_int), ("rest", c_char * 232))


@cache
def _library() -> Any:
    found = find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise ImportError("xllamacpp is not installed")
    library = ctypes.CDLL(str(next(Path(found.origin).parent.glob("xllamacpp*.so"))))
    signatures = _FUNCTIONS | {
        "ggml_init": (c_void_p, _Parameters),
        "ggml_graph_plan": (_Plan, c_void_p, c_int, c_void_p),
        "ggml_graph_compute": (c_int, c_void_p, ctypes.POINTER(_Plan)),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class GgmlRotation:
    """q and k, (seq, heads, head_dim) in memory of ggml, rotated at positions 0, 1, … by each call."""

    def __init__(
        self, xs: list[NDArray[Any]], *, pairs: int, base: float, layout: str, in_place: bool, threads: int
    ) -> None:
        self._ggml = _library()
        self._context = self._ggml.ggml_init(_Parameters(3 * sum(x.nbytes for x in xs) + (1 << 22), None, False))
        self._graph = self._ggml.ggml_new_graph(self._context)
        positions = self._tensor(np.arange(len(xs[0]), dtype=np.int32))
        rope = self._ggml.ggml_rope_ext_inplace if in_place else self._ggml.ggml_rope_ext
        self._results = []
        for x in xs:
            form = 2 * pairs, _MODES[layout], 0, base, *_PLAIN
            result = rope(self._context, self._tensor(x), positions, None, *form)
            self._ggml.ggml_build_forward_expand(self._graph, result)
            self._results.append((result, x))
        self._plan = self._ggml.ggml_graph_plan(self._graph, threads, None)
        self._work = (c_uint8 * max(self._plan.work_size, 1))()
        self._plan.work_data = ctypes.addressof(self._work)

    def _tensor(self, values: NDArray[Any]) -> Any:
        """Return a tensor with these values."""
        if values.ndim == 1:
            tensor = self._ggml.ggml_new_tensor_1d(self._context, _INT32, values.size)
        else:
            kind = TYPES[values.dtype.name]
            tensor = self._ggml.ggml_new_tensor_3d(self._context, kind, *values.shape[::-1])
        self._memory(tensor, values)[...] = values
        return tensor

    def _memory(self, tensor: Any, like: NDArray[Any]) -> NDArray[Any]:
        """Return the memory of a tensor as an array."""
        memory = (c_uint8 * like.nbytes).from_address(self._ggml.ggml_get_data(tensor))
        memory.owner = self  # type: ignore[attr-defined]  # whose end frees it
        values: NDArray[Any] = np.ndarray(like.shape, like.dtype, cast(Any, memory))
        return values

    def results(self) -> list[NDArray[Any]]:
        """Return the memory that each call writes q and k to."""
        return [self._memory(tensor, like) for tensor, like in self._results]

    def __call__(self) -> None:
        """Rotate q and k."""
        if self._ggml.ggml_graph_compute(self._graph, ctypes.byref(self._plan)):
            raise RuntimeError("ggml_graph_compute failed")

    def __del__(self) -> None:
        self._ggml.ggml_free(self._context)
