"""Golden files: is this machine the same as that one?"""

from tightrope.backends.golden.session import GoldenReport, check, write
from tightrope.backends.golden.table import print_report, verdict

__all__ = ["GoldenReport", "check", "print_report", "verdict", "write"]
