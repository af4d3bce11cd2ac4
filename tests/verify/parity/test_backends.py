"""The backends themselves: they agree on the gallery and on every real configuration."""

import pytest

from numpy_backend import llama
from tightrope.rope.reading import read
from tightrope.verify import parity
from tightrope.verify.accuracy.positions import cos_sin_errors

BOTH = pytest.mark.backend("torch", "mlx")


def on_cpu(*names):
    return parity.choose([f"{name}:cpu" for name in names])[0]


@BOTH
@pytest.mark.parametrize("name", parity.GALLERY)
def test_backends_agree_on_the_gallery(name):
    found = parity.compare_source(name, parity.GALLERY[name], on_cpu("torch", "mlx"))
    assert found.verdict == "agree", found.error or found.failures[0]


@BOTH
def test_backends_agree_on_a_real_configuration(shared_config):
    found = parity.compare_source(shared_config.stem, shared_config, on_cpu("torch", "mlx"), dtypes=["float32"])
    assert found.verdict in ("agree", "without rope"), found.error or found.failures[0]


def test_the_gallery_has_every_rope_type_in_use_every_layout_both_sides_and_all_that_axes_do():
    ropes = [rope for config in parity.GALLERY.values() for rope in read(config).ropes.values()]
    types = {"default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional"}
    assert types <= {rope.scaling.rope_type for rope in ropes}
    assert {(rope.layout, rope.side) for rope in ropes} >= {
        ("half", "head"),
        ("interleaved", "head"),
        ("interleaved", "tail"),
        ("halves", "head"),
    }
    assert {rope.mrope.order for rope in ropes if rope.mrope} == {"chunked", "interleaved"}
    assert {rope.mrope.progression for rope in ropes if rope.mrope} == {"shared", "own", "dealt"}
    assert any(rope.rotary_dim < rope.head_dim for rope in ropes if rope.side == "head")


@pytest.mark.parametrize("name", parity.GALLERY)
def test_the_gallery_is_read_without_a_guess(name):
    assert not [note for note in read(parity.GALLERY[name]).notes if "unknown" in note or "default" in note]


@pytest.mark.parametrize("position", [4_095, 1_048_575])
def test_exact_phases_keep_the_angle_and_float32_ones_lose_it(backend, position):
    subject = on_cpu(backend.name)[0]
    errors = cos_sin_errors(llama(base=500_000.0), subject, position)
    assert errors["exact"] <= 1e-7
    # One rounding to float32 is off by up to 2⁻²⁵ of the angle; a thousandth of that would still be a lost angle.
    assert errors["float32"] > position * 2.0**-35
