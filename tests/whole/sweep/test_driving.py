"""The sweep calls a family's functions as its attention does, and knows which layers rotate: whole models show it.

They run on PyTorch's meta device, without values, from their default configurations.
"""

import pytest

pytest.importorskip("transformers")

import tightrope
from sweep.running import DRIVEN, traced
from sweep.spelling import without_lists
from sweep.theirs.layering import difference, expected_layers
from sweep.theirs.tracing import NotRunnableError, trace

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers warns about its own defaults


def runs(family):
    """Return the traces of a family; a skip with the reasons where none of its models runs without data."""
    found = [(case, seen) for case, seen in traced(family) if not isinstance(seen, NotRunnableError)]
    if not found:
        pytest.skip("; ".join(str(seen) for _, seen in traced(family)))
    return found


@pytest.mark.parametrize("family", DRIVEN)
def test_the_sweep_hands_over_the_channels_that_attention_hands_over(family):
    for case, seen in runs(family):
        if seen.calls:
            name, start, width = case.rope.call
            handed_over = {(call.function, call.start, call.width) for call in seen.calls}
            assert {(name, start, width), (name, None, width)} & handed_over


@pytest.mark.parametrize("family", DRIVEN)
def test_the_layers_that_rotate_are_the_layers_that_are_read(family):
    known = [(case, seen) for case, seen in runs(family) if seen.layers]
    if not known:
        pytest.skip("its layers stand in no list of num_hidden_layers modules")
    for case, seen in known:
        assert difference(expected_layers(seen), tightrope.read(case.config.to_dict())) is None


@pytest.mark.parametrize("family", DRIVEN)
def test_the_layers_that_rotate_are_known_where_the_configuration_does_not_list_them(family):
    known = [(case, seen) for case, seen in runs(family) if seen.layers]
    unlisted = [(case.config, seen) for case, seen in known if without_lists(case.config) != case.config.to_dict()]
    if not unlisted:
        pytest.skip("its configurations list nothing a layer that their class makes by itself")
    for config, seen in unlisted:
        assert difference(expected_layers(seen), tightrope.read(without_lists(config))) is None


@pytest.mark.parametrize("spelling", ["v4", "v5"])
@pytest.mark.parametrize(
    "family", ["afmoe", "cohere2", "exaone4", "gemma3", "granite_swa", "lfm2", "llama4", "qwen3_next", "smollm3"]
)
def test_the_layers_of_what_is_written_are_those_that_transformers_then_rotates(family, spelling):
    case, found = next((case, found) for case, found in runs(family) if found.layers)
    fragment = tightrope.read(case.config.to_dict()).to_hf(spelling)
    plain = {key: value for key, value in case.config.to_dict().items() if not key.startswith("rope_")}
    again = trace(case.rope.rotary, type(case.config).from_dict({**plain, **fragment}))
    assert expected_layers(again) == expected_layers(found)
