"""The sweep calls a family's functions as its attention does, and knows which layers rotate: whole models show it.

They run on PyTorch's meta device, without values, from their default configurations.
"""

import pytest

pytest.importorskip("transformers")

import tightrope
from sweep.running import DRIVEN, traced
from sweep.spelling import without_lists
from sweep.theirs.layering import difference, expected_layers
from sweep.theirs.tracing import NotRunnableError

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers warns about its own defaults


def runs(family):
    """Return the traces of a family; a skip with the reasons where none of its models runs without data."""
    found = [(case, trace) for case, trace in traced(family) if not isinstance(trace, NotRunnableError)]
    if not found:
        pytest.skip("; ".join(str(trace) for _, trace in traced(family)))
    return found


@pytest.mark.parametrize("family", DRIVEN)
def test_the_sweep_hands_over_the_channels_that_attention_hands_over(family):
    for case, trace in runs(family):
        if trace.calls:
            name, start, width = case.rope.call
            handed_over = {(call.function, call.start, call.width) for call in trace.calls}
            assert {(name, start, width), (name, None, width)} & handed_over


@pytest.mark.parametrize("family", DRIVEN)
def test_the_layers_that_rotate_are_the_layers_that_are_read(family):
    known = [(case, trace) for case, trace in runs(family) if trace.layers]
    if not known:
        pytest.skip("its layers stand in no list of num_hidden_layers modules")
    for case, trace in known:
        assert difference(expected_layers(trace), tightrope.read(case.config.to_dict())) is None


@pytest.mark.parametrize("family", DRIVEN)
def test_the_layers_that_rotate_are_known_where_the_configuration_does_not_list_them(family):
    known = [(case, trace) for case, trace in runs(family) if trace.layers]
    unlisted = [(case.config, trace) for case, trace in known if without_lists(case.config) != case.config.to_dict()]
    if not unlisted:
        pytest.skip("its configurations list nothing a layer that their class makes by itself")
    for config, trace in unlisted:
        assert difference(expected_layers(trace), tightrope.read(without_lists(config))) is None
