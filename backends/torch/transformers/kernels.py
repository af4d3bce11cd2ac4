"""Tightrope's rotation where transformers dispatches to kernels: for every model of a process, with its own angles.

transformers makes `apply_rotary_pos_emb` a module named "rotary_pos_emb" where Hugging Face's `kernels` is installed,
and exchanges its forward method in models that are loaded with `use_kernels=True`.
"""

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import torch

from tightrope.backends.torch.transformers.apply import fused, meaning_of
from tightrope.backends.torch.transformers.rotary import FORMS
from tightrope.rope.errors import BackendUnavailable

_LAYER: Final = "rotary_pos_emb"
_DEVICES: Final = ("cpu", "cuda", "mps")


class FusedRotary(torch.nn.Module):
    """The module whose forward method takes the place of an apply function's, as `kernels` wants it: without state."""

    can_torch_compile = False
    has_backward = True

    def forward(self, q: Any, k: Any, cos: Any, sin: Any, unsqueeze_dim: Any = 1) -> Any:
        """Return q and k rotated as the function does whose place this takes, rounded once."""
        kind: Any = type(self)
        return _rotation_of(kind)(q, k, cos.float(), sin.float(), unsqueeze_dim=unsqueeze_dim)


@functools.lru_cache(maxsize=256)
def _rotation_of(kind: type) -> Callable[..., Any]:
    """Return the fused rotation that does what the apply function in a module's class does; itself if none does."""
    original: torch.nn.Module = kind()
    for form in FORMS:
        meaning = None if form == "complex" else meaning_of(original, form)
        if meaning is not None:
            return fused(original, form, meaning)
    return functools.partial(_as_it_is, original)


def _as_it_is(original: torch.nn.Module, q: Any, k: Any, cos: Any, sin: Any, **how: Any) -> Any:
    return original(q, k, cos.to(q.dtype), sin.to(q.dtype), **how)


class _Source:
    """Where `kernels` finds `FusedRotary`: here, not on the hub."""

    layer_name = FusedRotary.__name__

    def load(self) -> type[torch.nn.Module]:
        """Return the class of the module."""
        return FusedRotary

    def __str__(self) -> str:
        return "tightrope.backends.torch.transformers"


_SOURCE: Final = _Source()


class KernelRegistration:
    """Tightrope as the kernel for "rotary_pos_emb", until the end of a with-statement or `undo()`."""

    def __init__(self) -> None:
        kernels, self._mapping = _libraries()
        modes = {kernels.Mode.INFERENCE: _SOURCE, kernels.Mode.TRAINING: _SOURCE}
        theirs = self._before = self._mapping.get(_LAYER)
        ours = {**(theirs or {}), **dict.fromkeys(_DEVICES, modes)}
        self._scope = kernels.use_kernel_mapping({_LAYER: ours})
        self._scope.__enter__()
        # transformers registers its own mapping again for each model.
        self._mapping[_LAYER] = ours
        self._done = False

    def undo(self) -> None:
        """Give transformers and `kernels` the mappings back that they had; models keep the kernels that they have."""
        if self._done:
            return
        self._done = True
        if self._before is None:
            del self._mapping[_LAYER]
        else:
            self._mapping[_LAYER] = self._before
        self._scope.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def register_kernels() -> KernelRegistration:
    """Offer the fused rotation to transformers' kernel dispatch: on CPU, CUDA and MPS, for inference and training.

    It counts for models that are loaded with `use_kernels=True` afterwards, and is undone by `undo()`, or where the
    result is used in a with-statement. Each apply function keeps its pairing of channels; one that is no rotation known
    here stays as it is.

    What it cannot do: the angles stay transformers', float32 at best, with its errors at far positions and where it
    misreads a configuration; one function serves all models of a module; a model kernelised for `torch.compile` keeps
    its own function. `tightrope.patch(model)` has none of these limits.

    Raises:
        BackendUnavailable: `kernels` is missing, or of a version that this transformers does not take.
    """
    return KernelRegistration()


def _libraries() -> tuple[Any, dict[str, Any]]:
    """Return the module `kernels` and transformers' own mapping."""
    try:
        from transformers.integrations import hub_kernels
        from transformers.utils.import_utils import KERNELS_MAX_VERSION, KERNELS_MIN_VERSION, is_kernels_available
    except ImportError as error:
        raise BackendUnavailable(f"register_kernels does not know this transformers: {error}") from error
    if not is_kernels_available():
        raise BackendUnavailable(
            "register_kernels needs the package kernels, of a version that this transformers takes; "
            f'python -m pip install "kernels>={KERNELS_MIN_VERSION},<{KERNELS_MAX_VERSION}"'
        )
    import kernels

    return kernels, hub_kernels.get_kernel_mapping_transformers()
