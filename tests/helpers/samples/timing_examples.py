"""What the tests of timing time and print: a small plan, and rows as if something had been measured."""

from dataclasses import replace

import tightrope
from tightrope.rope.scaling.default import Default
from tightrope.verify import timing


def rope(**changes):
    shape = {"head_dim": 64, "rotary_dim": 64, "base": 1e4, "layout": "half", "scaling": Default()}
    return tightrope.RopeConfig(**(shape | changes))


def model(**changes):
    return tightrope.ModelRope(ropes={"default": rope(**changes)}, layers=["default"])


def jobs(name, **options):
    small = {"dtypes": ["bfloat16"], "lengths": [5], "heads": 4, "kv_heads": 2}
    return timing.plan(options.pop("model", model()), [(name, "cpu")], **(small | options))


ROW = timing.Row(
    backend="torch", device="cpu", path="", task="in place", dtype="float32", seq=8192, heads=32, kv_heads=8,
    order="bhsd", layout="half", rotary_dim=128, head_dim=128, contender="copy", remark="", seconds=0.0123,
    minimum=0.0112, maximum=0.0234, processor="a processor",
    ratio=1.0, share=1.0, peak=None,
)  # fmt: skip
OURS = replace(
    ROW,
    contender="tightrope",
    path="C (avx2)",
    seconds=8.1e-6,
    minimum=7.9e-6,
    maximum=9.3e-6,
    ratio=0.66,
    share=1.515,
    peak=3 << 20,
)
OTHER = replace(ROW, layout="interleaved", rotary_dim=64, contender="numpy", remark="into new tensors")
ROWS = [ROW, OURS, OTHER]
