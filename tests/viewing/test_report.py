"""The report: one file that shows what the library computes and asks nobody for anything."""

import json
import re
import subprocess
import sys

import pytest

import tightrope
from samples.report_files import DYNAMIC, SHAPE, data_of, written
from tightrope.verify.audit.report import Audit, PeerAudit
from tightrope.verify.parity.differences import Figure
from tightrope.verify.parity.report import Comparison
from tightrope.viewing import report
from tightrope.viewing.report.data import _cell, slider_lengths

pytest.importorskip("plotly")

LONGROPE = {
    **SHAPE, "model_type": "phi3", "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
    "rope_scaling": {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [4.0] * 8},
}  # fmt: skip
MROPE = {**SHAPE, "model_type": "qwen2_vl", "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
MAIL = 6_000_000  # bytes; what issue and mail servers take without a word


def test_report_is_light_enough_to_mail(dynamic_report):
    assert dynamic_report.stat().st_size < MAIL


def test_nothing_outside_the_file_is_named(dynamic_report):
    """Plotly is packed; what is around it has neither an address nor a source."""
    text = re.sub(r'<script id="plotly".*?</script>', "", dynamic_report.read_text(), flags=re.DOTALL)
    assert not re.findall(r"https?:|//\w+\.\w+/|\bsrc=|@import", text)


def test_browser_is_told_to_fetch_nothing(dynamic_report):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', dynamic_report.read_text())
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


@pytest.mark.parametrize(
    "config", [DYNAMIC, LONGROPE, {**SHAPE, "rope_scaling": YARN}], ids=["dynamic", "longrope", "yarn"]
)
def test_every_step_of_the_slider_has_the_frequencies_of_its_length(config):
    model = tightrope.read(config)
    (rope,) = report.report_data(model, "a model", None, None)["ropes"]
    for length, step in zip(rope["lengths"], rope["steps"], strict=True):
        expected = tightrope.frequencies(model.rope(), length)
        assert rope["tables"][step]["inv_freq"] == expected.inv_freq.tolist()
        assert rope["tables"][step]["attention_factor"] == expected.attention_factor


def test_slider_stops_on_both_sides_of_a_switch():
    assert {4096, 4097, 131072} <= set(slider_lengths(tightrope.read(LONGROPE).rope()))


def test_data_is_kept_once_where_the_length_does_not_matter():
    (rope,) = report.report_data(tightrope.read(SHAPE), "a model", None, None)["ropes"]
    assert len(rope["tables"]) == 1


def test_axis_of_each_pair_is_shown():
    """Sections (2, 3, 3) in chunks: Qwen2-VL, arXiv:2409.12191."""
    (rope,) = report.report_data(tightrope.read(MROPE), "a model", None, None)["ropes"]
    assert rope["axes"] == [0, 0, 1, 1, 1, 2, 2, 2]


def test_notes_of_the_reader_are_shown():
    model = tightrope.read({**SHAPE, "model_type": "gemma3_text"})
    assert model.notes
    assert report.report_data(model, "a model", None, None)["notes"] == list(model.notes)


@pytest.mark.backend("torch")
def test_parity_cells_hold_the_worst_of_their_comparisons():
    found = report.find_parity(DYNAMIC, ["torch:cpu"])
    shown = report.report_data(tightrope.read(DYNAMIC), "a model", found, None)["parity"]
    row, column = shown["rows"].index("rotation float32"), shown["columns"].index("torch:cpu − exact")
    comparisons = [
        one
        for one in found.models[0].comparisons
        if (one.kind, one.numbers, one.left, one.right) == ("rotation", "float32", "torch:cpu", "exact")
    ]
    worst = max(one.figure.ulps for one in comparisons)
    assert shown["cells"][row][column]["text"] == f"{worst:.2g} of {comparisons[0].tolerance:.2g} ulp"
    assert shown["cells"][row][column]["calls"] == len(comparisons)


def test_a_parity_cell_disagrees_where_one_of_its_comparisons_does():
    where = ("default", "rotation", "float32", "rows", "", "a", "b")
    good = Comparison(*where, tolerance=1.0, figure=Figure(0.0, 0.0, identical=True, values=1))
    bad = Comparison(*where, tolerance=1.0, problem="it raised")
    assert [_cell(found)["agrees"] for found in ([good], [good, bad])] == [True, False]


def test_a_model_without_rope_has_a_report(tmp_path):
    config = {"model_type": "jamba", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    assert data_of(written(tmp_path, config))["ropes"] == []


def test_replaced_rope_is_the_one_that_is_shown(tmp_path):
    path = written(tmp_path, {**SHAPE, "max_position_embeddings": 16384}, "--rope", json.dumps(YARN))
    assert data_of(path)["ropes"][0]["rope_type"] == "yarn"


@pytest.mark.parametrize("name", ["@@DATA@@", "@@PLOTLY@@", "@@NOTHING@@", "<!--<script>", r"\1"])
def test_name_of_a_file_is_content_of_the_page(name, tmp_path):
    assert data_of(written(tmp_path, SHAPE, name=f"{name}.json"))["title"] == name


def test_a_missing_extra_is_named():
    script = """
import sys
sys.modules["plotly"] = None
import tightrope
from tightrope.viewing import report
try:
    report.page({"title": ""})
except tightrope.RopeError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == 'reports need plotly; python -m pip install "plotly>=6.0"\n'


def test_a_wrong_library_is_shown_with_its_cause_and_the_fix():
    """As `tightrope audit` prints it."""
    call = "tightrope convert config.json --to v4 -o config.json"
    wrong = PeerAudit(
        "a library 1.0", "wrong", "it rotates by base 10,000", causes=("spelling not read",), remedies=(call,)
    )
    shown = report.report_data(tightrope.read(SHAPE), "a model", None, Audit("a model", (wrong,)))["audit"]
    words = f"it rotates by base 10,000. Cause: spelling not read. Fix: {call}"
    assert shown["verdicts"] == [{"status": "wrong", "label": "WRONG", "words": words}]
