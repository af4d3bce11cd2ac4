"""What the Triton kernel's machine code promises on each kind of GPU, and that the checked-in table still says so.

TIGHTROPE_TARGETS=all compiles for every target, see `proofs.tools.targets`.
"""

import json

import pytest

from proofs import tools
from proofs.gpu.static_facts import CONFIGURATIONS, TABLE, issue_to_memory

pytestmark = [pytest.mark.backend("torch"), tools.module("triton")]

HERE = tools.targets()
RECORDED = json.loads(TABLE.read_text())

each_configuration = pytest.mark.parametrize("name", CONFIGURATIONS)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The facts of what Triton compiles here and now."""
    lines, error = tools.run_python("proofs.gpu.static_facts", *HERE, folder=tmp_path_factory.mktemp("triton"))
    assert not error
    return dict(lines)


@pytest.mark.parametrize("target", HERE)
@each_configuration
def test_the_table_says_what_triton_compiles(compiled, target, name):
    if compiled["triton"] != RECORDED["triton"]:
        pytest.skip(f"the table is of Triton {RECORDED['triton']}, here is {compiled['triton']}")
    assert compiled[target][name] == RECORDED["targets"][target][name]


@pytest.mark.parametrize("target", HERE)
@each_configuration
def test_nothing_spills_and_nothing_is_added_unfused(compiled, target, name):
    facts = compiled[target][name]
    assert {key: facts[key] for key in ("spills", "stack", "local", "unfused_additions")} == dict.fromkeys(
        ("spills", "stack", "local", "unfused_additions"), 0
    )


@pytest.mark.parametrize("target", HERE)
@each_configuration
def test_q_and_k_take_one_launch(compiled, target, name):
    assert compiled[target][name]["launches"] == 1


@pytest.mark.parametrize("target", HERE)
@each_configuration
def test_heads_are_moved_in_accesses_of_128_bits(compiled, target, name):
    # A single key head fills no such access: its 32 pairs are spread over the threads of a program.
    narrow = 1 if CONFIGURATIONS[name].k_heads == 1 else 0
    stores = compiled[target][name]["stores"]
    assert {width: number for width, number in stores.items() if width != "128"} == ({"16": 1} if narrow else {})
    assert stores["128"] >= 4


@pytest.mark.parametrize("target", HERE)
@each_configuration
def test_every_element_that_turns_is_written_once(compiled, target, name):
    case = CONFIGURATIONS[name]
    size = 4 if case.dtype == "float32" else 2
    widths = (2 * case.pairs, 2 * case.pairs) if case.in_place else (case.q_width, case.k_width)
    expected = size * (case.q_heads * widths[0] + case.k_heads * widths[1])
    assert compiled[target][name]["bytes_written_per_token"] == expected


@pytest.mark.parametrize("target", RECORDED["targets"])
@each_configuration
def test_on_paper_memory_decides_the_time(target, name):
    assert issue_to_memory(target, RECORDED["targets"][target][name]) < 1
