"""A family that the installed transformers has and the table has not is learned from its code."""

import warnings

import pytest
from click.testing import CliRunner

import tightrope
from models.tiny_models import fields
from tightrope.cli import main
from tightrope.rope.reading.families import learned, lookup

pytestmark = pytest.mark.backend("torch")


@pytest.fixture
def unlisted(monkeypatch):
    """Take a family out of the table."""
    learned.learned_family.cache_clear()

    def take_out(name):
        monkeypatch.setattr(lookup, "_NAMES", {key: value for key, value in lookup._NAMES.items() if value != name})
        squeezed = {key: value for key, value in lookup._SQUEEZED.items() if value != name}
        monkeypatch.setattr(lookup, "_SQUEEZED", squeezed)

    yield take_out
    learned.learned_family.cache_clear()


@pytest.mark.parametrize("name", ["glm4", "gemma3_text", "cohere2", "deepseek_v3"])
def test_what_is_learned_is_what_the_table_says(unlisted, name):
    pytest.importorskip("transformers")
    known = tightrope.read(fields(name))
    unlisted(name)
    found = tightrope.read(fields(name))
    assert (found.ropes, found.layers, found.softmax_scale) == (known.ropes, known.layers, known.softmax_scale)
    assert not found.guessed
    assert any("learned from transformers" in note for note in found.notes)


def test_a_learned_model_is_written_in_its_own_words(unlisted):
    pytest.importorskip("transformers")
    unlisted("glm4")
    found = tightrope.read(fields("glm4"))
    assert tightrope.read({**fields("glm4"), **found.to_hf("v4")}).ropes == found.ropes


def test_without_transformers_an_unknown_family_is_a_guess(unlisted, monkeypatch):
    unlisted("glm4")
    monkeypatch.setattr("tightrope.backends.learning.find_spec", lambda name: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tightrope.read(fields("glm4")).guessed


def test_a_name_that_transformers_does_not_have_cannot_be_learned():
    result = CliRunner().invoke(main, ["learn", "no_such_family"])
    assert (result.exit_code, "'no_such_family' cannot be learned" in result.output) == (1, True)


def test_the_command_prints_the_line_of_the_table():
    pytest.importorskip("transformers")
    result = CliRunner().invoke(main, ["learn", "glm4"])
    assert result.output.splitlines()[1] == '"glm4": Family(layout="interleaved", head_dim=128, partial=0.5),'
