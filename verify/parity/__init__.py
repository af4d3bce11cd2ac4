"""Compare backends with exact arithmetic and with each other, on real configurations."""

from tightrope.verify.gallery import GALLERY, LLAMA_3
from tightrope.verify.parity.report import Comparison, ModelReport, ParityReport, junit
from tightrope.verify.parity.run import compare_model
from tightrope.verify.parity.session import choose, compare_source, summarise
from tightrope.verify.parity.subjects import OnDevice

__all__ = [
    "GALLERY", "LLAMA_3", "Comparison", "ModelReport", "OnDevice", "ParityReport", "choose", "compare_model",
    "compare_source", "junit",   "summarise",
]  # fmt: skip
