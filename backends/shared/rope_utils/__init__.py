"""The names that transformers' documentation of RoPE teaches, over any framework's operations.

For modeling files that were written for transformers: each backend has a module `rope_utils` that offers them. All of
it delegates: frequencies come from the core, q and k are rotated by the backend's one kernel.
"""

from collections.abc import Mapping
from typing import Any

from tightrope.backends.shared.arguments.miscalled import right_call
from tightrope.backends.shared.rope_utils.apply import ApplyFunctions
from tightrope.backends.shared.rope_utils.parameters import InitFunctions, ParameterFunctions
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.rope_utils import model_of


class RopeUtils(ParameterFunctions, ApplyFunctions):
    """All names of one framework."""


def configured(config: Any, keywords: Mapping[str, Any]) -> ModelRope:
    """Return the ropes that a rotary module with transformers' call is made for.

    Raises:
        RopeConfigError: There is no configuration but a width, as other libraries take; or it cannot be read.
    """
    if config is None or isinstance(config, int | float):
        raise RopeConfigError(right_call("RotaryEmbedding", (config, None, None), keywords))
    return model_of(config)


__all__ = ["InitFunctions", "RopeUtils", "configured"]
