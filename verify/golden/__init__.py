"""Golden files: is this machine the same as that one?"""

from tightrope.verify.golden.session import GoldenReport, check, write

__all__ = ["GoldenReport", "check", "write"]
