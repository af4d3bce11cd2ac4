"""Compare backends with exact arithmetic and with each other, on real configurations."""

from tightrope.backends.gallery import GALLERY, LLAMA_3
from tightrope.backends.parity.precision import precision_figures, precision_table
from tightrope.backends.parity.report import Comparison, ModelReport, Report, describe, junit
from tightrope.backends.parity.run import DTYPES, compare_model
from tightrope.backends.parity.session import choose, compare_source, summarise
from tightrope.backends.parity.subjects import OnDevice
from tightrope.backends.parity.table import print_backends, print_model, print_summary

__all__ = [
    "DTYPES", "GALLERY", "LLAMA_3", "Comparison", "ModelReport", "OnDevice", "Report", "choose", "compare_model",
    "compare_source", "describe", "junit", "precision_figures", "precision_table", "print_backends", "print_model",
    "print_summary", "summarise",
]  # fmt: skip
