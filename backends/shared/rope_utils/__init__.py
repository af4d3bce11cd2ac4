"""The names that transformers' documentation of RoPE teaches, over any framework's operations.

For modeling files that were written for transformers: each backend has a module `rope_utils` that offers them. All of
it delegates: frequencies come from the core, q and k are rotated by the backend's one kernel.
"""

from tightrope.backends.shared.rope_utils.apply import ApplyFunctions
from tightrope.backends.shared.rope_utils.parameters import InitFunctions, ParameterFunctions


class RopeUtils(ParameterFunctions, ApplyFunctions):
    """All names of one framework."""


__all__ = ["InitFunctions", "RopeUtils"]
