"""Golden files: is this machine the same as that one?"""

from tightrope.backends.golden.file import Story
from tightrope.backends.golden.session import Finding, GoldenReport, check, write
from tightrope.backends.golden.table import print_report, verdict

__all__ = ["Finding", "GoldenReport", "Story", "check", "print_report", "verdict", "write"]
