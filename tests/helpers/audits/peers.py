"""Peers made for the audit: each rotates by a rope of its own, right or wrong in one known way."""

import dataclasses

import numpy as np

from models.tiny_models import fields
from tightrope.rope import reference
from tightrope.rope.scaling import find_type
from tightrope.verify.audit.peers import Built

LLAMA31, YARN, LONG = fields("llama3.1"), fields("qwen2"), fields("phi3")
NO_TRUNCATE = fields("gpt_oss")
PARTIAL = fields("glm4")


class MadeUp(Built):
    """A peer that rotates by a rope of its own, in float64."""

    softmax_scale = None

    def __init__(self, change, *, softmax_scale=None, gathered=False):
        self.change, self.softmax_scale, self.gathered = change, softmax_scale, gathered

    def build(self, config, model, context=None):
        self.rope = self.change(next(iter(model.ropes.values())))
        return self

    def rotate(self, layer, x, offset):
        positions = np.arange(offset, offset + x.shape[2])[None]
        cos, sin = (part[:, None] for part in reference.cos_sin(self.rope, positions, seq_len=offset + x.shape[2]))
        y = reference.rotate(x, cos, sin, layout=self.rope.layout, side=self.rope.side).astype(np.float32)
        return np.concatenate((y[..., ::2], y[..., 1::2]), -1) if self.gathered else y

    def mends(self):
        return ""


def scaling(**changes):
    return lambda rope: dataclasses.replace(rope, scaling=dataclasses.replace(rope.scaling, **changes))


def without_scaling(rope):
    return rope.replace(scaling=find_type("default")())


# The configuration, what the peer makes of its rope, the causes the audit names, and words of its verdict.
WRONG = {
    "base": (
        LLAMA31, lambda rope: rope.replace(base=10_000.0), ("base ignored",), "with base 10,000 (config.json: 500,000)",
    ),
    "scaling": (LLAMA31, without_scaling, ("scaling ignored",), "without its llama3 scaling"),
    "both": (
        LLAMA31, lambda rope: without_scaling(rope).replace(base=10_000.0), ("base ignored", "scaling ignored"),
        "without its llama3 scaling, with base 10,000 (config.json: 500,000)",
    ),
    "partial": (
        PARTIAL, lambda rope: rope.replace(rotary_dim=16), ("partial factor ignored",),
        "rotating 16 channels (config.json: 8)",
    ),
    "layout": (PARTIAL, lambda rope: rope.replace(layout="half"), ("layout",), "pairing channels 'half'"),
    "truncate": (NO_TRUNCATE, scaling(truncate=True), ("truncate ignored",), "a rounded correction range"),
    "betas": (
        {**YARN, "rope_parameters": {**YARN["rope_parameters"], "beta_fast": 4.0}}, scaling(beta_fast=32.0),
        ("betas ignored",), "with beta_fast 32 and beta_slow 1 (config.json: 4 and 1)",
    ),
    "attention factor": (YARN, scaling(attention_factor=1.5), ("attention factor",), "with attention factor 1.5 "),
    "mscale": (
        {**YARN, "rope_parameters": {**YARN["rope_parameters"], "mscale": 0.7}}, scaling(mscale_all_dim=1.0),
        ("mscale rule",), "with attention factor",
    ),
    "original length": (
        {**YARN, "head_dim": 128}, scaling(original_max_position_embeddings=4096), ("original length",),
        "taking 4096 for",
    ),
    "long factors": (
        LONG, lambda rope: scaling(short_factor=rope.scaling.long_factor)(rope), ("long factors always",),
        "with the long factors at every length",
    ),
    "short factors": (
        LONG, lambda rope: scaling(long_factor=rope.scaling.short_factor)(rope), ("short factors always",),
        "with the short factors at every length",
    ),
}  # fmt: skip
