"""How long rotations take: Tightrope, a plain copy and the libraries that are installed, side by side.

A machine's speed drifts while it is measured. So everything that is compared takes turns, round by round; what is
reported is the median over the rounds, and ratios are formed inside a round before their median is taken.
"""

from tightrope.verify.timing.estimates import estimate
from tightrope.verify.timing.jobs import plan
from tightrope.verify.timing.measure import absent, interleaved, moved, run
from tightrope.verify.timing.on_whole_models import WholeRow, whole_models
from tightrope.verify.timing.processor import processor
from tightrope.verify.timing.rows import Row, as_dicts
from tightrope.verify.timing.work import OURS, TASKS, YARDSTICK

__all__ = [
    "OURS", "TASKS", "YARDSTICK", "Row", "WholeRow", "absent", "as_dicts", "estimate", "interleaved",
    "moved", "plan", "processor",
    "run", "whole_models",
]  # fmt: skip
