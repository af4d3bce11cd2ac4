"""The notebook runs from its first cell to its last, as it stands."""

import json

import pytest

from samples.example_files import EXAMPLES

CELLS = json.loads((EXAMPLES / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def names():
    """What the notebook knows at its end."""
    pytest.importorskip("transformers")
    pytest.importorskip("matplotlib").use("agg")
    scope = {"__name__": "__main__"}
    for number, cell in enumerate(CODE, start=1):
        exec(compile("".join(cell["source"]), f"code cell {number} of quickstart.ipynb", "exec"), scope)
    return scope


def test_no_cell_holds_an_error():
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []


@pytest.mark.backend("torch")
def test_notebook_audits_what_is_installed(names):
    assert any(peer.peer.startswith("transformers") for peer in names["audited"].peers)


@pytest.mark.backend("torch")
def test_patched_logits_move_less_at_far_positions(names):
    before, after = names["drift"][120_000]
    assert after < before / 10


@pytest.mark.backend("torch")
def test_notebook_leaves_the_model_as_it_found_it(names):
    assert (names["logits"](0) == names["before"][0]).all()
