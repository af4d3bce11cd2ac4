"""The process that runs llama.cpp: a header with virtual weights, and a decode for each request.

llama.cpp ends its process where an assertion of its own fails, so it has a process of its own. Requests and answers
are those of `messages`. Virtual weights: every tensor is filled with small random numbers as llama.cpp asks for it, so
no file holds any. What a ROPE node is given is replaced by the request's vectors just before it is computed: its output
is then llama.cpp's rotation of them.
"""

import ctypes as C
import os
import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.verify.llama_cpp import bindings
from tightrope.verify.llama_cpp.messages import receive, send

MOST_TOKENS: Final = 64
_DTYPES: Final[dict[int, type[np.generic]]] = {0: np.float32, 1: np.float16, 26: np.int32}
_ATTENTION: Final = ("SOFT_MAX", "FLASH_ATTN_EXT")
_LOGGED: Final = 4000
_ERROR: Final = 4
_VOCABULARY: Final = 64


class LlamaCppError(Exception):
    """llama.cpp refused; the message is its own."""


class Runner:
    """A model in llama.cpp, and what its nodes did in the last decode."""

    def __init__(self, header: str, n_ctx: int, divisors: dict[str, NDArray[np.float32]]) -> None:
        self.library = bindings.load()
        self.log: list[str] = []
        self.errors: list[str] = []
        self.divisors = divisors
        self.x: NDArray[np.float32] | None = None
        self.nodes: list[dict[str, Any]] = []
        self._callbacks: list[Any] = [bindings.Log(self._logged)]
        self.library.llama_log_set(self._callbacks[0], None)
        self.library.llama_backend_init()
        self.model = self._model(header)
        self.context = self._context(n_ctx)

    def _logged(self, level: int, text: bytes, data: object) -> None:
        line = text.decode("utf-8", "replace").strip()
        self.log = [*self.log, line][-50:]
        if level == _ERROR:
            self.errors.append(line[:_LOGGED])

    def refusal(self, what: str) -> LlamaCppError:
        """Return an error with llama.cpp's own words."""
        return LlamaCppError("; ".join(dict.fromkeys(filter(None, self.errors))) or what)

    def _model(self, header: str) -> int:
        gguf = self.library.gguf_init_from_file(header.encode(), bindings.GgufInit(True, None))
        if not gguf:
            raise self.refusal("it does not take this header")
        params = self.library.llama_model_default_params()
        params.n_gpu_layers, params.use_extra_bufts = 0, False
        self._callbacks.append(bindings.SetTensor(self._fill))
        model: int | None = self.library.llama_model_init_from_user(gguf, self._callbacks[-1], None, params)
        if not model:
            raise self.refusal("it does not build this model")
        return model

    def _context(self, n_ctx: int) -> int:
        params = self.library.llama_context_default_params()
        params.n_ctx, params.n_seq_max = n_ctx, MOST_TOKENS
        params.n_ubatch = params.n_batch = MOST_TOKENS
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type, params.kv_unified = 0, True
        self._callbacks.append(bindings.Evaluate(self._evaluated))
        params.cb_eval = C.cast(self._callbacks[-1], C.c_void_p)
        context: int | None = self.library.llama_init_from_model(self.model, params)
        if not context:
            raise self.refusal("it makes no context for this model")
        return context

    def _fill(self, pointer: Any, data: object) -> None:
        """Give a tensor its virtual weights; divisors of frequencies are those of the file."""
        tensor = pointer.contents
        name, count = tensor.name.decode().removesuffix(".weight"), int(np.prod(tensor.ne[:]))
        kind = _DTYPES.get(tensor.type)
        if kind is None:
            return
        values = self._weights(name, count).astype(kind)
        self.library.ggml_backend_tensor_set(pointer, values.ctypes.data, 0, values.nbytes)

    def _weights(self, name: str, count: int) -> NDArray[np.float32]:
        own = next((values for key, values in self.divisors.items() if name.endswith(key)), None)
        if own is not None:
            return np.resize(own, count)
        if "norm" in name or "rope_f" in name:
            return np.ones(count, np.float32)
        values = np.random.default_rng(len(name)).standard_normal(count, np.float32) * np.float32(0.1)
        return -np.abs(values) if "ssm_a" in name else values

    def decode(self, x: NDArray[np.float32], positions: NDArray[np.int32], axes: int) -> list[dict[str, Any]]:
        """Return what every ROPE node made of x, (tokens, heads, width)."""
        self.x, self.nodes, self.errors = x, [], []
        batch, count = self.library.llama_batch_init(len(positions) * max(axes, 1), 0, 1), len(positions)
        batch.n_tokens = count
        for index in range(count):
            batch.token[index], batch.logits[index] = (index * 7 + 3) % _VOCABULARY, index == count - 1
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, index
            batch.pos[index] = int(positions[index])
        memory = self.library.llama_get_memory(self.context)
        if memory:
            self.library.llama_memory_clear(memory, True)
        run = self.library.llama_decode if memory else self.library.llama_encode
        status = run(self.context, batch)
        if status:
            raise self.refusal(f"llama_decode returned {status}")
        return self.nodes

    def _evaluated(self, pointer: Any, ask: bool, data: object) -> bool:
        tensor = pointer.contents
        op = self.library.ggml_op_name(tensor.op).decode()
        if op == "ROPE" and self.x is not None:
            if ask:
                self._inject(tensor.src[0].contents)
            else:
                self.nodes.append(self._rope(tensor))
        elif op in _ATTENTION and not ask and tensor.name.startswith(b"kq"):
            scale = np.array(tensor.op_params[:1], np.int32).view(np.float32)[0]
            self.nodes.append({"name": tensor.name.decode(), "op": op, "scale": float(scale)})
        elif op == "MUL" and not ask and self._is_temperature(tensor):
            values = _view(tensor.src[1].contents).ravel().tolist()
            self.nodes.append({"name": tensor.name.decode(), "op": "MUL", "temperature": values})
        return True

    def _is_temperature(self, tensor: Any) -> bool:
        """A factor for each token, the same for all heads and channels: what scales a query by its position."""
        factor, tokens = tensor.src[1].contents, 0 if self.x is None else len(self.x)
        per_token = factor.type == 0 and tokens > 1 and factor.ne[:] == [1, 1, tokens, 1]
        return bool(per_token and not tensor.name.startswith(b"ffn"))

    def _inject(self, tensor: Any) -> None:
        x = self.x
        if x is None or tensor.type not in (0, 1):
            return
        target = _view(tensor)[0]  # tokens, heads, width
        width = min(x.shape[-1], target.shape[-1])
        heads = np.arange(target.shape[1]) % x.shape[1]
        target[..., :] = 0
        target[..., -width:] = x[: len(target)][:, heads, -width:]

    def _rope(self, tensor: Any) -> dict[str, Any]:
        ints = np.array(tensor.op_params[:], np.int32)
        floats = ints.view(np.float32)
        source = tensor.src[0].contents.name.decode()
        factors = None if not tensor.src[2] else _view(tensor.src[2].contents).ravel().tolist()
        return {
            "name": tensor.name.decode(), "source": source, "op": "ROPE", "dims": int(ints[1]), "mode": int(ints[2]),
            "original": int(ints[4]), "base": float(floats[5]), "scale": float(floats[6]),
            "extrapolation": float(floats[7]), "attention_factor": float(floats[8]), "beta_fast": float(floats[9]),
            "beta_slow": float(floats[10]), "sections": ints[11:15].tolist(), "first": int(ints[15]),
            "factors": factors, "y": _view(tensor)[0].astype(np.float32),
        }  # fmt: skip


def _view(tensor: Any) -> NDArray[Any]:
    """Return a tensor's memory as an array, the slowest axis first."""
    dtype = np.dtype(_DTYPES[tensor.type])
    shape = tuple(tensor.ne[axis] for axis in (3, 2, 1, 0))
    strides = tuple(tensor.nb[axis] for axis in (3, 2, 1, 0))
    size = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True)) + dtype.itemsize
    memory = (C.c_char * size).from_address(tensor.data)
    return np.ndarray(shape, dtype, memory, strides=strides)


def serve(reader: Any, writer: Any) -> None:
    """Answer requests until there are no more."""
    words, arrays = receive(reader)
    divisors = {name: arrays[name] for name in words["divisors"]}
    try:
        runner = Runner(words["header"], words["n_ctx"], divisors)
    except (LlamaCppError, OSError, AttributeError, ValueError) as error:
        send(writer, {"error": str(error), "refused": isinstance(error, LlamaCppError)}, {})
        return
    send(writer, {"rope_type": runner.library.llama_model_rope_type(runner.model)}, {})
    while True:
        try:
            words, arrays = receive(reader)
        except EOFError:
            return
        try:
            nodes = runner.decode(arrays["x"], arrays["positions"], words["axes"])
        except LlamaCppError as error:
            send(writer, {"error": str(error), "refused": True}, {})
            continue
        results = {str(index): node.pop("y") for index, node in enumerate(nodes) if "y" in node}
        send(writer, {"nodes": nodes}, results)


def main() -> None:
    """Serve on standard input and output; what llama.cpp prints goes to standard error."""
    with os.fdopen(os.dup(1), "wb") as writer:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, writer)


if __name__ == "__main__":
    main()
