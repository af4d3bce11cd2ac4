"""Pictures of ropes: the numbers that the core computes, in the field's terms, readable in black and white."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest

import tightrope
from tightrope import viewing
from tightrope.rope.scaling.default import Default
from tightrope.viewing import curves

pytest.importorskip("matplotlib")

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 32, "long_factor": [4.0] * 32, "short_mscale": 1.0,
    "long_mscale": 1.25, "original_max_position_embeddings": 4096,
}  # fmt: skip
BLOCKS = [
    {"rope_type": "default"}, {"rope_type": "linear", "factor": 8.0}, {"rope_type": "ntk", "factor": 4.0},
    {"rope_type": "dynamic", "factor": 2.0}, YARN, {**YARN, "truncate": False}, LLAMA3, LONGROPE,
    {"rope_type": "proportional", "partial_rotary_factor": 0.25},
]  # fmt: skip


def rope(block, **changes):
    shape = {"head_dim": 64, "rotary_dim": 64, "base": 5e5, "layout": "half", "max_position_embeddings": 131072}
    return tightrope.RopeConfig(**shape).replace(scaling=block, **changes)


def model(*blocks):
    ropes = {f"kind_{index}": rope(block) for index, block in enumerate(blocks)}
    return tightrope.ModelRope(ropes=ropes, layers=[*ropes, None])


@functools.cache
def _drawn(blocks):
    return viewing.draw(model(*map(json.loads, blocks)), "a model")


def drawn(*blocks):
    """Return the picture of a model with these ropes, drawn once for all tests."""
    return _drawn(tuple(json.dumps(block) for block in blocks))


def panel(figure, title):
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return found


def line(axes, label):
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return found.get_ydata()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["rope_type"])
def test_every_rope_type_can_be_drawn(block, tmp_path):
    viewing.save(drawn(block), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", viewing.FORMATS)
def test_picture_is_written_in_the_format_of_its_name(kind, tmp_path):
    viewing.save(drawn(YARN), tmp_path / f"out.{kind}")
    assert (tmp_path / f"out.{kind}").read_bytes()[:5] == {"png": b"\x89PNG\r", "svg": b"<?xml", "pdf": b"%PDF-"}[kind]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(tightrope.RopeConfigError, match=r"must end in \.png, \.svg, \.pdf, got '.*out.bmp'"):
        viewing.save(drawn(YARN), tmp_path / "out.bmp")


def test_frequencies_before_and_after_scaling_are_drawn():
    config = rope(YARN)
    axes = panel(drawn(YARN), "Inverse frequencies")
    np.testing.assert_array_equal(line(axes, "yarn"), tightrope.frequencies(config).inv_freq)
    plain = tightrope.frequencies(config.replace(scaling=Default()))
    np.testing.assert_array_equal(line(axes, "unscaled"), plain.inv_freq)


def test_wavelengths_are_drawn_against_both_contexts():
    axes = panel(drawn(YARN), "Wavelengths, and how many pairs complete a turn")
    np.testing.assert_allclose(line(axes, "yarn") * tightrope.frequencies(rope(YARN)).inv_freq, 2 * np.pi, rtol=1e-15)
    levels = {one.get_ydata()[0] for one in axes.lines if len(set(one.get_ydata())) == 1}
    assert levels == {32768, 131072}


def test_pairs_that_turn_within_a_context_are_counted_with_the_table_of_that_length():
    axes = panel(drawn(LONGROPE), "Wavelengths, and how many pairs complete a turn")
    wavelengths = {
        length: 2 * np.pi / tightrope.frequencies(rope(LONGROPE), length).inv_freq for length in (4096, 131072)
    }
    counts = {length: np.count_nonzero(found <= length) for length, found in wavelengths.items()}
    says = [text.get_text() for text in axes.texts]
    assert says == [f"original 4,096: {counts[4096]} of 32", f"context 131,072: {counts[131072]} of 32"]


def test_attention_factor_of_each_length_is_drawn():
    axes = panel(drawn(LONGROPE), "Attention factor")
    factors = dict(zip(*axes.lines[0].get_data(), strict=True))
    assert (factors[4096], factors[4097]) == (1.0, 1.25)


@pytest.mark.parametrize("block", [YARN, {**YARN, "truncate": False}, LLAMA3], ids=["yarn", "not truncated", "llama3"])
def test_blend_zone_parts_kept_from_divided_pairs(block):
    config = rope(block)
    low, high = config.scaling.blend_zone(config)
    divisors = curves.curve(config).divisors(curves.unscaled(config))
    pairs = np.arange(config.pairs)
    # Rounding: (θ / f) · 1 and θ · 1 are each within an ulp of the table without scaling.
    np.testing.assert_allclose(divisors[pairs <= low], 1, rtol=1e-15)
    np.testing.assert_allclose(divisors[pairs >= high], block["factor"], rtol=1e-15)
    between = divisors[(pairs > low) & (pairs < high)]
    assert between.size
    assert ((between > 1) & (between < block["factor"])).all()


@pytest.mark.parametrize("block", [{"rope_type": "default"}, {"rope_type": "linear", "factor": 8.0}], ids=str)
def test_types_that_do_not_blend_have_no_blend_zone(block):
    assert rope(block).scaling.blend_zone(rope(block)) is None


@pytest.mark.parametrize("title", ["Inverse frequencies", "What the scaling divides by"])
@pytest.mark.parametrize("block", [YARN, LLAMA3], ids=["yarn", "llama3"])
def test_blend_zone_is_shaded(block, title):
    low, high = rope(block).scaling.blend_zone(rope(block))
    assert f"blend zone, pairs {low:.3g} to {high:.3g}" in panel(drawn(block), title).get_legend_handles_labels()[1]


def test_pairs_that_do_not_turn_are_shaded():
    block = {"rope_type": "proportional", "partial_rotary_factor": 0.25}
    shown = panel(drawn(block), "What the scaling divides by").get_legend_handles_labels()[1]
    assert "pairs 8 to 31 do not rotate" in shown


def test_every_layer_type_has_its_panels_and_says_its_layers():
    figure = drawn({"rope_type": "default"}, YARN)
    assert [block.get_suptitle().partition(":")[0] for block in figure.subfigs] == ["kind_0", "kind_1"]
    assert all("1 of 3 layers" in block.get_suptitle() for block in figure.subfigs)
    assert len(figure.axes) == 8


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["rope_type"])
def test_lines_are_told_apart_without_colour(block):
    for axes in drawn(block).axes:
        looks = [(one.get_linestyle(), one.get_marker(), one.get_linewidth()) for one in axes.lines]
        assert len(set(looks)) == len(looks), axes.get_title(loc="left")


def test_axes_say_quantity_and_unit():
    labels = {(axes.get_xlabel(), axes.get_ylabel()) for axes in drawn(YARN).axes}
    assert labels == {
        ("rotated pair i", "inv_freq [radians per position]"),
        ("rotated pair i", "positions per turn, 2π / inv_freq"),
        ("rotated pair i", "unscaled / scaled inv_freq"),
        ("sequence length [tokens, k = 1,024]", "factor on cos and sin"),
    }


def test_comparison_draws_both_models():
    left, right = model({"rope_type": "default"}), model(YARN)
    axes = panel(viewing.draw_comparison(left, right, ("A", "B")), "Ratio of inverse frequencies")
    expected = tightrope.frequencies(left.rope()).inv_freq / tightrope.frequencies(right.rope()).inv_freq
    np.testing.assert_array_equal(line(axes, "ratio"), expected)


def test_comparison_of_other_widths_says_that_there_is_no_ratio():
    narrow = tightrope.ModelRope(ropes={"default": rope({"rope_type": "default"}, rotary_dim=32)}, layers=())
    axes = panel(viewing.draw_comparison(narrow, model(YARN), ("A", "B")), "Ratio of inverse frequencies")
    assert [text.get_text() for text in axes.texts] == ["16 pairs against 32: no ratio pair by pair"]
    assert not len(axes.get_xticks()) + len(axes.get_yticks())


def test_models_without_a_common_rope_are_not_compared():
    left = tightrope.ModelRope(ropes={"a": rope(YARN), "b": rope(YARN)}, layers=())
    with pytest.raises(tightrope.RopeConfigError, match="no rope in common"):
        viewing.draw_comparison(left, model(YARN), ("A", "B"))


def test_a_model_without_rope_is_refused():
    with pytest.raises(tightrope.RopeConfigError, match="has no rotary positions"):
        viewing.draw(tightrope.ModelRope(ropes={}, layers=[None]), "a model")


def test_a_missing_extra_is_named():
    script = """
import sys
sys.modules["matplotlib"] = None
import tightrope
from tightrope import viewing
try:
    viewing.draw(tightrope.ModelRope(ropes={}, layers=()), "")
except tightrope.RopeError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == 'pictures need matplotlib; python -m pip install "matplotlib>=3.9"\n'
