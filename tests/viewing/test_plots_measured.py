"""Pictures of what was measured: errors against the position, and bars of times."""

from dataclasses import replace

import numpy as np
import pytest

import tightrope
from samples.timing_examples import OURS, ROW, ROWS
from tightrope import viewing
from tightrope.rope import reference
from tightrope.verify.accuracy import curves as accuracy
from tightrope.verify.accuracy.curves import ERROR_POSITIONS
from tightrope.verify.parity.subjects import OnDevice

pytest.importorskip("matplotlib")

ROPE = tightrope.RopeConfig(
    head_dim=64, rotary_dim=64, base=5e5, layout="interleaved", max_position_embeddings=131072
).replace(scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768})
MODEL = tightrope.ModelRope(ropes={"default": ROPE}, layers=["default"])


def test_libraries_stand_beside_our_precisions(monkeypatch):
    monkeypatch.setattr(accuracy, "_peer_curves", lambda config, model, key: {"a library 1.0": [0.5]})
    assert accuracy.error_curves({}, MODEL, "default", []) == {"a library 1.0": [0.5]}


ERRORS = {"exact": [6e-8] * len(ERROR_POSITIONS), "float32": [1e-7 * at for at in ERROR_POSITIONS]}


def test_errors_are_drawn_against_the_position_and_the_context():
    (axes,) = viewing.draw_errors(MODEL, {"default": ERRORS}, "a model").axes
    shown = {one.get_label(): one.get_data() for one in axes.lines[:2]}
    assert shown.keys() == ERRORS.keys()
    np.testing.assert_array_equal(shown["float32"][0], ERROR_POSITIONS)
    np.testing.assert_array_equal(shown["float32"][1], ERRORS["float32"])
    assert [one.get_xdata()[0] for one in axes.lines[2:]] == [32768, 131072]


@pytest.mark.backend("torch")
def test_error_curves_are_flat_for_exact_phases_and_grow_in_float32():
    config = {"model_type": "llama", "hidden_size": 256, "num_attention_heads": 2, "num_hidden_layers": 1}
    found = tightrope.read(config)
    subject = OnDevice(tightrope.load_backend("torch"), "cpu")
    measured = accuracy.error_curves(config, found, "default", [subject])
    # 1e-7 is what exact precision promises; float32 rounds an angle of n radians to n · 2⁻²⁴.
    assert max(measured["exact, torch:cpu"]) < 1e-7
    assert measured["float32, torch:cpu"][-1] > 2.0**24 * 2.0**-25 / 2
    assert all(len(line) == len(ERROR_POSITIONS) for line in measured.values())


class Turned:
    """A library that rotates by what a rope says, with pairs moved half a head apart."""

    def __init__(self, config):
        self.config = config

    def rotate(self, layer, x, offset):
        positions = np.arange(offset, offset + x.shape[2])[None]
        cos, sin = (part[:, None] for part in reference.cos_sin(self.config, positions))
        y = reference.rotate(x, cos, sin, layout=self.config.layout, side=self.config.side)
        return np.concatenate((y[..., ::2], y[..., 1::2]), axis=-1)


def test_a_library_that_moves_pairs_is_not_blamed_for_it():
    assert accuracy._peer_error(Turned(ROPE), 0, ROPE, 65535) == 0


def test_a_library_with_another_base_is_off_by_as_much_as_it_rotates():
    assert accuracy._peer_error(Turned(ROPE.replace(base=1e4)), 0, ROPE, 65535) > 1


def test_rows_become_bars():
    figure = viewing.draw_speed([*ROWS, replace(ROW, seq=512)], "a machine")
    assert [len(axes.patches) for axes in figure.axes] == [2, 1, 1]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1.0, 0.66]
    assert "8,192 tokens" in figure.axes[0].get_title(loc="left")


def test_bars_of_all_works_are_on_one_scale_of_plain_numbers():
    figure = viewing.draw_speed([ROW, OURS, replace(ROW, seq=512, ratio=30.0)], "a machine")
    first, second = (axes.get_xlim() for axes in figure.axes)
    assert first == second
    figure.draw_without_rendering()
    assert {"0.5", "1", "2", "5"} <= {label.get_text() for label in figure.axes[0].get_xticklabels(which="both")}
