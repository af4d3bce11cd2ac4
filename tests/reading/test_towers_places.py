"""Every model of the installed transformers that has a tower: reading the model finds it."""

import pytest

pytest.importorskip("transformers")

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import tightrope
from tightrope.rope.reading.families.towers import TOWERS

# The wrapper is refused, or the part is no tower: CLVP's text and speech, the vocoder of an omni model.
OTHER_PARTS = {"clvp", "neucodec", "xcodec2", "qwen2_5_omni_token2wav"}


def parts(values):
    """Yield every sub-configuration that the table of towers has."""
    for inner in values.values():
        if isinstance(inner, dict) and "model_type" in inner:
            yield from parts(inner)
            if inner["model_type"] in TOWERS:
                yield inner


def wholes():
    """Yield (configuration, the towers in it) for every model of several parts."""
    for name in sorted(set(CONFIG_MAPPING.keys()) - OTHER_PARTS):
        try:
            whole = CONFIG_MAPPING[name]().to_dict()
        except Exception:  # whatever a class raises that cannot be built without arguments
            continue
        if found := list(parts(whole)):
            yield whole, found


def read(values, **how):
    return tightrope.read(values, **how).ropes


@pytest.mark.filterwarnings("ignore")  # transformers warns about its own defaults
def test_the_tower_of_a_whole_model_is_its_part():
    missed = []
    for whole, towers in wholes():
        expected = [read(part) for part in towers]
        found = []
        for tower in ("vision", "audio"):
            try:
                found.append(read(whole, tower=tower))
            except tightrope.RopeConfigError:
                continue
        missed += [whole["model_type"]] * (not any(ropes in expected for ropes in found))
    assert not missed
