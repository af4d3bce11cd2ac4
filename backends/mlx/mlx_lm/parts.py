"""A model of mlx-lm that is spread over processes: which of its layers are here, and how it is split."""

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn

from tightrope.rope.errors import RopeConfigError, shortened

_UNTOUCHED: Final = "Nothing was changed"


def present(layers: Sequence[Any], inner: Any) -> tuple[list[nn.Module], range | None]:
    """Return the decoder layers that are here, and which of the model they are; None for all of them.

    mlx-lm's pipelines keep None in place of earlier layers, or say under `start_idx` which is the first.
    """
    here = [layer for layer in layers if layer is not None]
    absent = len(layers) - len(here)
    first = absent or getattr(inner, "start_idx", 0)
    if absent or first or getattr(inner, "end_idx", None) is not None:
        return here, range(first, first + len(here))
    return here, None


def check_layers(layers: object, here: int, known: int) -> list[int]:
    """Return the numbers that a caller gave for the layers that are here.

    Raises:
        RopeConfigError: They are not one number per layer, or no layers of the configuration.
    """
    numbers = list(layers) if isinstance(layers, Sequence) and not isinstance(layers, str) else None
    if numbers is None or any(type(number) is not int for number in numbers):
        raise RopeConfigError(
            f"layers must be whole numbers, such as range(4, 8), got {shortened(layers)}. {_UNTOUCHED}"
        )
    if len(numbers) != here:
        raise RopeConfigError(
            f"layers must have one number for each of the {here} decoder layers here, got {shortened(layers)}. "
            f"{_UNTOUCHED}"
        )
    if any(not 0 <= number < known for number in numbers):
        raise RopeConfigError(
            f"layers must be >= 0 and < {known}, the layers of the configuration, got {shortened(layers)}. {_UNTOUCHED}"
        )
    return numbers


def split(model: Any, tensor_group: Any, pipeline_group: Any, *, lazy: bool) -> None:
    """Keep a process's share of a model: of each weight (tensor_group), of the layers (pipeline_group).

    Args:
        model: A model of mlx-lm whose weights are not read yet.
        tensor_group: A `mx.distributed.Group`, or None.
        pipeline_group: As tensor_group.
        lazy: Leave the weights unread.

    Raises:
        RopeConfigError: mlx-lm cannot split this model so.
    """
    inner = getattr(model, "model", None)
    for name, group, able in (
        ("tensor_group", tensor_group, hasattr(model, "shard")),
        ("pipeline_group", pipeline_group, hasattr(inner, "pipeline")),
    ):
        if group is not None and not isinstance(group, mx.distributed.Group):
            raise RopeConfigError(f"{name} must be a group of mx.distributed (mx.distributed.init()), got {group!r}")
        if group is not None and not able:
            raise RopeConfigError(f"mlx-lm cannot split {type(model).__module__} by a {name}")
    if tensor_group is not None:
        model.shard(tensor_group)
    if pipeline_group is not None and inner is not None:
        inner.pipeline(pipeline_group)
    if not lazy:
        mx.eval(model.parameters())
    for group in (tensor_group, pipeline_group):
        if group is not None:  # as mlx-lm does: who is ready first would wait too long for the others' first tokens
            mx.eval(mx.distributed.all_sum(mx.array(1.0), group=group, stream=mx.cpu))
