"""`HFRotary`: the angles of a model, in the place and the form in which transformers wants them."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NoReturn

import torch

from tightrope.backends.shared.angles import Table
from tightrope.backends.torch.transformers.positions import ModelAngles
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, shortened

Form = Literal["halves", "pairs", "single", "complex"]
CosSinOutput = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


def _halves(cos: torch.Tensor, sin: torch.Tensor) -> CosSinOutput:
    return torch.cat((cos, cos), -1), torch.cat((sin, sin), -1)


def _pairs(cos: torch.Tensor, sin: torch.Tensor) -> CosSinOutput:
    return cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)


def _single(cos: torch.Tensor, sin: torch.Tensor) -> CosSinOutput:
    return cos, sin


# How a family holds the cos and sin of its pairs: each twice, one half after the other (most); each twice in a row;
# once (gpt-oss); as complex numbers (Llama 4).
FORMS: Final[dict[Form, Callable[[torch.Tensor, torch.Tensor], CosSinOutput]]] = {
    "halves": _halves,
    "pairs": _pairs,
    "single": _single,
    "complex": torch.complex,
}


NOT_PICKLED: Final = (
    "a patched model cannot be pickled: tightrope.unpatch(model) first; save_pretrained and state_dict work"
)

# Where cos carries the table that it was made of: each layer of a decode step would wait for the same two views. A view
# of cos itself would keep it alive for ever.
_TABLE: Final = "_tightrope_table"


def table_of(form: Form, output: Any) -> Table:
    """Return cos and sin, one entry per pair, from what `FORMS` made of them: without a copy."""
    carrier = output if form == "complex" else output[0]
    if not torch.compiler.is_compiling() and _TABLE in vars(carrier):
        table: Table = getattr(carrier, _TABLE)
        return table
    if form == "complex":
        return Table(cos=output.real, sin=output.imag)
    cos, sin = output
    if form == "pairs":
        cos, sin = cos[..., ::2], sin[..., ::2]
    elif form == "halves":
        pairs = cos.shape[-1] // 2
        cos, sin = cos[..., :pairs], sin[..., :pairs]
    return Table(cos=cos, sin=sin)


class UncastAngles(Sequence[torch.Tensor]):
    """cos and sin in float32, to be unpacked as a tuple of them, which no cast of a layer's arguments reaches.

    FSDP2 with mixed precision casts the float tensors that it finds in tensors, tuples, lists, dicts and dataclasses;
    these must stay float32, so that q and k are rounded once. What moves arguments between devices asks for `to`.
    """

    def __init__(self, cos: torch.Tensor, sin: torch.Tensor) -> None:
        self._parts = cos, sin

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return self._parts[index]

    def to(self, device: Any, non_blocking: bool = False) -> "UncastAngles":
        """Return them on another device."""
        cos, sin = self._parts
        return UncastAngles(cos.to(device, non_blocking=non_blocking), sin.to(device, non_blocking=non_blocking))


def _may_be_sharded() -> bool:
    """Return whether something like FSDP2 may be at work: it needs a process group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class HFRotary(torch.nn.Module):
    """A model's rotary module for transformers: called once a forward pass, its result goes to every layer.

    Nothing in it is trained or saved, and no cast of the model reaches it.

    Args:
        model: What `tightrope.read` returned, or a single `RopeConfig`.
        precision: See `RotaryEmbedding`.
        policy: See `RotaryEmbedding`.
        switch: See `RotaryEmbedding`.
        form: How cos and sin are laid out; `"halves"` is Llama's.
        in_float32: Give float32 whatever the hidden states are, for attention that rounds only once.
    """

    def __init__(
        self, model: ModelRope | RopeConfig, *, form: Form = "halves", in_float32: bool = False, **rotary: Any
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise RopeConfigError(f"form must be one of {', '.join(map(repr, FORMS))}, got {shortened(form)}")
        self._angles = ModelAngles(model, **rotary)
        self.rope = self._angles.rope
        self.form: Form = form
        self.in_float32 = in_float32
        # transformers names a layer type also where all types share one rope.
        self._by_type = len(self.rope.model.ropes) > 1

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor, layer_type: str | None = None) -> Any:
        """Return cos and sin, (batch, seq, rotary_dim) each; see `form` for others.

        Args:
            x: The hidden states, which give the dtype.
            position_ids: (batch, seq), or (axes, batch, seq) for M-RoPE; whole numbers of any dtype, and fractions
                where the rope has axes for the times of audio and video. Documents packed into one row, told by
                positions that do not increase, have each its own length.
            layer_type: Which rope; needed where there are several.
        """
        cos, sin = self._angles.at(position_ids, layer_type if self._by_type else None)
        if not self.in_float32 and self.form != "complex":
            return FORMS[self.form](cos.to(x.dtype), sin.to(x.dtype))
        output = FORMS[self.form](cos, sin)
        if self.form != "single" and not torch.compiler.is_compiling():
            setattr(output if self.form == "complex" else output[0], _TABLE, Table(cos=cos, sin=sin))
        return UncastAngles(*output) if isinstance(output, tuple) and _may_be_sharded() else output

    def standing_for(self, replaced: torch.nn.Module) -> "HFRotary":
        """Return this module with what the replaced one says of itself: LFM3 asks for its layer_types, others too."""
        for name, value in vars(replaced).items():
            if not name.startswith("_") and not hasattr(self, name):
                setattr(self, name, value)
        return self.train(replaced.training)

    def __deepcopy__(self, memo: dict[int, Any]) -> "HFRotary":
        rotary = {"precision": self.rope.precision, "policy": self.rope.policy, "switch": self.rope.switch}
        new = type(self)(self.rope.model, form=self.form, in_float32=self.in_float32, **rotary)
        return new.standing_for(self)

    def __reduce__(self) -> NoReturn:
        # Unpickling would bring back the modules, but not the forward methods that patching gave to some of them.
        raise RopeConfigError(NOT_PICKLED)
