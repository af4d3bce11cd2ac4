"""Other libraries' rotations, made ready to be timed beside ours: the functions that their users call."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import torch

from tightrope.backends.shared.angles import Table
from tightrope.rope.config.rope import RopeConfig
from tightrope.verify.timing import ggml
from tightrope.verify.timing.work import Work

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

    @cached_property
    def halves(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Cos and sin in the dtype of q, (seq, pairs)."""
        cos, sin = (part[0].to(self.q.dtype) for part in (self.table.cos, self.table.sin))
        return cos, sin

    @cached_property
    def full(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Cos and sin as transformers' modules give them: (1, seq, rotary_dim), in the dtype of q."""
        cos, sin = (torch.cat((part, part), -1)[None] for part in self.halves)
        return cos, sin


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library that rotates q and k. Its frequencies are those of the base: other rope types change none of the work.

    Attributes:
        name: As it is installed.
        module: What it is imported as: its innermost module that rotates, for some packages import their parts late.
        unfit: Returns why it cannot do some work on a device, `""` where it can.
        given: Makes its rotation by cos and sin that are given, into new tensors.
        by_position: Makes its rotation by positions.
        in_place: Makes its rotation in place.
        remark: What it always does differently from a task by given angles.
    """

    name: str
    module: str
    unfit: Callable[[Work, RopeConfig, str], str]
    given: Callable[[Inputs], Apply] | None = None
    by_position: Callable[[Inputs], Apply] | None = None
    in_place: Callable[[Inputs], Apply] | None = None
    remark: str = ""

    def absent(self, work: Work, rope: RopeConfig, device: str) -> str:
        """Return why it takes no part, `""` where it does."""
        if find_spec(self.module.partition(".")[0]) is None:
            return "is not installed"
        try:
            import_module(self.module)
        except Exception as error:  # whatever a package raises while it is imported
            return (
                f"is installed and cannot be imported: {''.join(str(error).splitlines()[:1]) or type(error).__name__}"
            )
        if work.task == "by position" and self.by_position is None:
            return "computes no angles on the way"
        return self.unfit(work, rope, device)

    def apply(self, inputs: Inputs) -> tuple[Apply, str]:
        """Return its rotation for a task, and what it does differently from the task."""
        task = inputs.work.task
        if task == "in place" and self.in_place is not None:
            return self.in_place(inputs), self.remark
        remarks = ["into new tensors"] if task == "in place" else []
        make = self.by_position if task == "by position" else self.given
        if make is None and self.by_position is not None:
            make, remarks = self.by_position, [*remarks, self.remark or "computes angles too"]
        if make is None:
            raise ValueError(f"{self.name} rotates neither by angles nor by positions")
        return make(inputs), ", ".join(remarks)


def _transformers_apply(rope: RopeConfig) -> Any:
    """Return transformers' own function: of Llama, of GPT-NeoX where a part turns, of GLM for interleaved pairs."""
    half = "llama" if rope.rotary_dim == rope.head_dim else "gpt_neox"
    family = half if rope.layout == "half" else "glm"
    return import_module(f"transformers.models.{family}.modeling_{family}").apply_rotary_pos_emb


def transformers_module(rope: RopeConfig, device: torch.device) -> Any:
    """Return transformers' rotary module; its cos and sin have the dtype of its first argument."""
    llama = import_module("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(
        head_dim=rope.rotary_dim, rope_parameters={"rope_type": "default", "rope_theta": rope.base}
    )  # fmt: skip
    return llama.LlamaRotaryEmbedding(config).to(device)


def _transformers_given(inputs: Inputs) -> Apply:
    apply, (cos, sin) = _transformers_apply(inputs.rope), inputs.full
    axis = 1 if inputs.work.order == "bhsd" else 2
    return lambda q, k: apply(q, k, cos, sin, unsqueeze_dim=axis)


def _transformers_by_position(inputs: Inputs) -> Apply:
    apply, module = _transformers_apply(inputs.rope), transformers_module(inputs.rope, inputs.q.device)
    axis, positions = 1 if inputs.work.order == "bhsd" else 2, inputs.positions
    return lambda q, k: apply(q, k, *module(q, positions), unsqueeze_dim=axis)


def _liger(inputs: Inputs) -> Apply:
    apply, (cos, sin) = import_module("liger_kernel.transformers.rope").liger_rotary_pos_emb, inputs.full
    return lambda q, k: apply(q, k, cos, sin)


def _flash_attn(*, in_place: bool) -> Callable[[Inputs], Apply]:
    def make(inputs: Inputs) -> Apply:
        apply, (cos, sin) = import_module("flash_attn.layers.rotary").apply_rotary_emb, inputs.halves
        how = {"interleaved": inputs.rope.layout == "interleaved", "inplace": in_place}
        return lambda q, k: (apply(q, cos, sin, **how), apply(k, cos, sin, **how))

    return make


def _rotary_embedding_torch(inputs: Inputs) -> Apply:
    library = import_module("rotary_embedding_torch")
    module = library.RotaryEmbedding(inputs.rope.rotary_dim, theta=inputs.rope.base).to(inputs.q.device)
    axis = -2 if inputs.work.order == "bhsd" else -3
    rotate = partial(module.rotate_queries_or_keys, seq_dim=axis)
    return lambda q, k: (rotate(q), rotate(k))


def _torchtune(inputs: Inputs) -> Apply:
    module = import_module("torchtune.modules").RotaryPositionalEmbeddings(
        inputs.rope.head_dim, max_seq_len=inputs.work.seq, base=inputs.rope.base
    )
    module.to(inputs.q.device)
    return lambda q, k: (module(q), module(k))


def _llama_cpp(*, in_place: bool) -> Callable[[Inputs], Apply]:
    def make(inputs: Inputs) -> Apply:
        xs, rope = [x[0].numpy() for x in (inputs.q, inputs.k)], inputs.rope
        form: dict[str, Any] = {"pairs": rope.pairs, "base": rope.base, "layout": rope.layout, "in_place": in_place}
        rotation = ggml.GgmlRotation(xs, threads=torch.get_num_threads(), **form)
        # Views of memory that is ggml's own: it has no part in a call.
        q, k = (torch.from_numpy(y)[None] for y in rotation.results())

        def apply(*_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rotation()
            return q, k

        return apply

    return make


def _fits_llama_cpp(work: Work, rope: RopeConfig, device: str) -> str:
    if device != "cpu" or work.dtype not in ggml.TYPES or work.order != "bshd":
        return "is timed on the CPU, in float32 and float16 and order bshd, in which it holds q and k"
    if work.task == "with gradient":
        return "has no gradient"
    return _fits_any_head(work, rope, device)


def _vllm(inputs: Inputs) -> Apply:
    import_module("vllm.platforms").current_platform.import_kernels()
    rotate, rope, positions = torch.ops._C.rotary_embedding, inputs.rope, inputs.positions[0]
    q, k = (x[0].flatten(1) for x in (inputs.q, inputs.k))  # as its layers hold them: tokens, all channels
    table, half = torch.cat(inputs.halves, -1), rope.layout == "half"

    def apply(*_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rotate(positions, q, k, rope.head_dim, table, half)
        return inputs.q, inputs.k

    return apply


def _fits_vllm(work: Work, rope: RopeConfig, device: str) -> str:
    if work.task != "in place" or work.order != "bshd":
        return "rotates in place and in order bshd only"
    if device != "cpu":
        return "is timed on the CPU only"
    return _fits_any_head(work, rope, device)


def _fits_any_head(work: Work, rope: RopeConfig, device: str) -> str:
    return "" if rope.side == "head" else "rotates the first channels only"


def _fits_liger(work: Work, rope: RopeConfig, device: str) -> str:
    if not device.startswith("cuda"):
        return "runs on CUDA only"
    whole = rope.layout == "half" and rope.rotary_dim == rope.head_dim
    return "" if whole and work.order == "bhsd" else "rotates whole heads in layout half and order bhsd only"


def _fits_flash_attn(work: Work, rope: RopeConfig, device: str) -> str:
    if not device.startswith("cuda"):
        return "runs on CUDA only"
    return "" if rope.side == "head" and work.order == "bshd" else "rotates the first channels in order bshd only"


def _fits_rotary_embedding_torch(work: Work, rope: RopeConfig, device: str) -> str:
    return "" if rope.layout == "interleaved" and rope.side == "head" else "rotates the first channels interleaved only"


def _fits_torchtune(work: Work, rope: RopeConfig, device: str) -> str:
    whole = rope.layout == "interleaved" and rope.rotary_dim == rope.head_dim
    return "" if whole and work.order == "bshd" else "rotates whole heads in layout interleaved and order bshd only"


LIBRARIES: Final = (
    Library(
        name="transformers", module="transformers.models.llama.modeling_llama", unfit=_fits_any_head,
        given=_transformers_given, by_position=_transformers_by_position,
    ),
    Library(name="liger-kernel", module="liger_kernel", unfit=_fits_liger, given=_liger),
    Library(
        name="flash-attn", module="flash_attn", unfit=_fits_flash_attn, given=_flash_attn(in_place=False),
        in_place=_flash_attn(in_place=True),
    ),
    Library(
        name="rotary-embedding-torch", module="rotary_embedding_torch", unfit=_fits_rotary_embedding_torch,
        by_position=_rotary_embedding_torch,
    ),
    Library(
        name="llama.cpp", module="xllamacpp", unfit=_fits_llama_cpp, by_position=_llama_cpp(in_place=False),
        in_place=_llama_cpp(in_place=True), remark="its own copies of q and k, computes angles too",
    ),
    Library(
        name="vLLM", module="vllm.platforms", unfit=_fits_vllm, in_place=_vllm,
        remark="its C kernel, a table in the dtype of q",
    ),
    Library(name="torchtune", module="torchtune", unfit=_fits_torchtune, given=_torchtune),
)  # fmt: skip
