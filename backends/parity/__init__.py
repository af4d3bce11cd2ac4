"""Compare backends with exact arithmetic and with each other, on real configurations."""

from tightrope.backends.parity.report import BackendReport, Comparison, ModelReport, Report, describe, junit
from tightrope.backends.parity.run import DTYPES, compare_model
from tightrope.backends.parity.subjects import OnDevice

__all__ = [
    "DTYPES", "BackendReport", "Comparison", "ModelReport", "OnDevice", "Report", "compare_model", "describe", "junit"
]  # fmt: skip
