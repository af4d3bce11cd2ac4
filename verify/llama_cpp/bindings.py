"""llama.cpp's C interface, as the wheel `xllamacpp` exports it (llama.h, ggml.h, gguf.h).

The structures are those of the release named in `TRIED`; whether another wheel has the same is told by the defaults
that it fills in, never assumed.
"""

import ctypes as C  # C types read better under one letter
import importlib.util
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

DISTRIBUTION: Final = "xllamacpp"
TRIED: Final = "2026.10.11549"
_LIBRARY: Final = "xllamacpp.abi3.so"


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class ModelParams(C.Structure):
    """llama_model_params."""

    _fields_ = [
        *_fields(C.c_void_p, "devices tensor_buft_overrides"),
        *_fields(C.c_int32, "n_gpu_layers split_mode load_mode lazy_mode main_gpu"),
        *_fields(C.c_void_p, "tensor_split progress progress_data kv_overrides"),
        *_fields(C.c_bool, "vocab_only check_tensors use_extra_bufts no_host no_alloc load_mtp"),
    ]


class ContextParams(C.Structure):
    """llama_context_params."""

    _fields_ = [
        *_fields(C.c_uint32, "n_ctx n_batch n_ubatch n_seq_max n_rs_seq n_outputs_max n_outputs_max_per_seq"),
        *_fields(C.c_int32, "n_threads n_threads_batch ctx_type rope_scaling_type pooling_type attention_type"),
        ("flash_attn_type", C.c_int32),
        *_fields(C.c_float, "rope_freq_base rope_freq_scale yarn_ext_factor yarn_attn_factor"),
        *_fields(C.c_float, "yarn_beta_fast yarn_beta_slow"),
        ("yarn_orig_ctx", C.c_uint32),
        ("defrag_thold", C.c_float),
        *_fields(C.c_void_p, "cb_eval cb_eval_data"),
        *_fields(C.c_int32, "type_k type_v"),
        *_fields(C.c_void_p, "abort_callback abort_data further"),
        *_fields(C.c_bool, "embeddings offload_kqv no_perf op_offload swa_full kv_unified"),
        ("samplers", C.c_void_p),
        ("n_samplers", C.c_size_t),
        ("ctx_other", C.c_void_p),
        ("unknown", C.c_uint64 * 4),  # room for what a later release appends
    ]


class GgmlTensor(C.Structure):
    """ggml_tensor."""


GgmlTensor._fields_ = [
    ("type", C.c_int32),
    ("buffer", C.c_void_p),
    ("ne", C.c_int64 * 4),
    ("nb", C.c_size_t * 4),
    ("op", C.c_int32),
    ("op_params", C.c_int32 * 16),
    ("flags", C.c_int32),
    ("src", C.POINTER(GgmlTensor) * 10),
    ("view_src", C.c_void_p),
    ("view_offs", C.c_size_t),
    ("data", C.c_void_p),
    ("name", C.c_char * 64),
    ("extra", C.c_void_p),
    ("padding", C.c_char * 8),
]


class Batch(C.Structure):
    """llama_batch."""

    _fields_ = [
        ("n_tokens", C.c_int32),
        ("token", C.POINTER(C.c_int32)),
        ("embd", C.POINTER(C.c_float)),
        ("pos", C.POINTER(C.c_int32)),
        ("n_seq_id", C.POINTER(C.c_int32)),
        ("seq_id", C.POINTER(C.POINTER(C.c_int32))),
        ("logits", C.POINTER(C.c_int8)),
    ]


class GgufInit(C.Structure):
    """gguf_init_params."""

    _fields_ = [("no_alloc", C.c_bool), ("ctx", C.c_void_p)]


SetTensor = C.CFUNCTYPE(None, C.POINTER(GgmlTensor), C.c_void_p)
Evaluate = C.CFUNCTYPE(C.c_bool, C.POINTER(GgmlTensor), C.c_bool, C.c_void_p)
Log = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)

_POINTER_OF_TENSOR = C.POINTER(GgmlTensor)
_SIGNATURES: Final[dict[str, tuple[Any, Iterable[Any]]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (Log, C.c_void_p)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_model_init_from_user": (C.c_void_p, (C.c_void_p, SetTensor, C.c_void_p, ModelParams)),
    "llama_init_from_model": (C.c_void_p, (C.c_void_p, ContextParams)),
    "llama_model_has_encoder": (C.c_bool, (C.c_void_p,)),
    "llama_model_rope_type": (C.c_int, (C.c_void_p,)),
    "llama_batch_init": (Batch, (C.c_int32, C.c_int32, C.c_int32)),
    "llama_decode": (C.c_int32, (C.c_void_p, Batch)),
    "llama_encode": (C.c_int32, (C.c_void_p, Batch)),
    "llama_get_memory": (C.c_void_p, (C.c_void_p,)),
    "llama_memory_clear": (None, (C.c_void_p, C.c_bool)),
    "ggml_op_name": (C.c_char_p, (C.c_int,)),
    "ggml_nbytes": (C.c_size_t, (_POINTER_OF_TENSOR,)),
    "ggml_backend_tensor_set": (None, (_POINTER_OF_TENSOR, C.c_void_p, C.c_size_t, C.c_size_t)),
    "gguf_init_from_file": (C.c_void_p, (C.c_char_p, GgufInit)),
}


def library_path() -> Path | None:
    """Return where the shared library of the wheel is; None where the wheel is not installed."""
    found = importlib.util.find_spec(DISTRIBUTION)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).with_name(_LIBRARY)


def load() -> C.CDLL:
    """Return the library with its signatures.

    Raises:
        OSError: It is not there, or is built for another machine.
        AttributeError: It lacks a function.
        ValueError: Its structures are not those known here.
    """
    path = library_path()
    if path is None:
        raise OSError(f"{DISTRIBUTION} is not installed")
    try:
        library = C.CDLL(str(path), mode=os.RTLD_NOW)
    except OSError as error:  # of a wheel for another processor the loader says no more than that it found nothing
        raise OSError(f"{path.name} of {DISTRIBUTION} does not load on {platform.machine()}: {error}") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    _require_known(library.llama_model_default_params(), library.llama_context_default_params())
    return library


def _require_known(model: ModelParams, context: ContextParams) -> None:
    """Raise where the defaults do not lie where this module looks for them."""
    seen = (
        model.n_gpu_layers, model.use_extra_bufts, model.vocab_only, context.n_ctx, context.n_ubatch,
        context.yarn_beta_slow, context.type_k, context.type_v, context.swa_full,
    )  # fmt: skip
    known = (-1, True, False, 512, 512, -1.0, 1, 1, True)
    if seen != known:
        raise ValueError(f"its structures are not those of {DISTRIBUTION} {TRIED}: defaults {seen}, known {known}")
