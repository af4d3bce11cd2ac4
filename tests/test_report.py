"""The report: one file that shows what the library computes, follows the slider, and asks nobody for anything."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import browser
import tightrope
from tightrope.backends.parity.figures import Figure
from tightrope.backends.parity.report import Comparison
from tightrope.cli import main
from tightrope.viewing import report
from tightrope.viewing.report.data import _cell, slider_lengths

pytest.importorskip("plotly")

SHAPE = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
DYNAMIC = {
    **SHAPE, "max_position_embeddings": 4096, "rope_theta": 5e5, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}
}  # fmt: skip
LONGROPE = {
    **SHAPE, "model_type": "phi3", "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
    "rope_scaling": {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [4.0] * 8},
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
HACK = "document.body.dataset.hacked='true'"
HOSTILE = f'</script><script>{HACK}</script><img src=x onerror="{HACK}">'
MAIL = 6_000_000  # bytes; what issue and mail servers take without a word


def written(folder, config, *arguments, name="config.json"):
    """Return the path of a report, made by the command."""
    (folder / name).write_text(json.dumps(config))
    path = folder / "report.html"
    ran = CliRunner().invoke(main, ["report", str(folder / name), "-o", str(path), *arguments])
    assert ran.exit_code == 0, ran.output
    return path


def data_of(path):
    """Return the JSON that a report carries."""
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(text)


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    return written(tmp_path_factory.mktemp("dynamic"), DYNAMIC)


def test_report_is_light_enough_to_mail(dynamic):
    assert dynamic.stat().st_size < MAIL


def test_nothing_outside_the_file_is_named(dynamic):
    """Plotly is packed; what is around it has neither an address nor a source."""
    text = re.sub(r'<script id="plotly".*?</script>', "", dynamic.read_text(), flags=re.DOTALL)
    assert not re.findall(r"https?:|//\w+\.\w+/|\bsrc=|@import", text)


def test_browser_is_told_to_fetch_nothing(dynamic):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', dynamic.read_text())
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
    assert ran.stdout == 'reports need plotly; pip install "tightrope[report]"\n'


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """One browser for all tests; a console error of any page fails the test that opened it."""
    if browser.MISSING:
        pytest.skip(browser.MISSING)
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(window, dynamic):
    window.open(dynamic)
    yield window
    assert window.console() == []


def curve(page, chart, name):
    """Return what a chart draws."""
    return page.run(
        "return document.getElementById(arguments[0]).data.find((one) => one.name === arguments[1]).y", chart, name
    )


def move_slider(page, length):
    """Move the slider as a hand would, to a length that it stops at."""
    lengths = page.run("return lengths")
    page.run(
        "const slider = document.getElementById('length'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input'))",
        str(lengths.index(length)),
    )


def test_page_draws_without_an_error(page):
    charts = page.run("return [...document.querySelectorAll('.js-plotly-plot')].map((one) => one.id)")
    assert {"frequencies-0", "wavelengths-0", "divisors-0", "attention-0"} <= set(charts)


def test_page_fetches_nothing(page):
    assert page.run("return performance.getEntriesByType('resource').map((one) => one.name)") == []


def test_curve_follows_the_slider(page):
    rope = tightrope.read(DYNAMIC).rope()
    for length in (4096, slider_lengths(rope)[-1]):
        move_slider(page, length)
        np.testing.assert_array_equal(
            curve(page, "frequencies-0", "dynamic"), tightrope.frequencies(rope, length).inv_freq
        )
    assert page.run("return document.getElementById('length-value').textContent") == f"{length:,} tokens"


def test_unscaled_curve_stays_where_it_is(page):
    before = curve(page, "frequencies-0", "unscaled")
    move_slider(page, slider_lengths(tightrope.read(DYNAMIC).rope())[-1])
    assert curve(page, "frequencies-0", "unscaled") == before


def test_contexts_are_within_the_chart_of_wavelengths(window, tmp_path):
    config = {**SHAPE, "rope_theta": 100.0, "max_position_embeddings": 1 << 20}
    window.open(written(tmp_path, config))
    low, high = window.run("return document.getElementById('wavelengths-0')._fullLayout.yaxis.range")
    assert low < np.log10(1 << 20) < high
    assert window.console() == []


def test_legends_cover_no_curve(page):
    """Each ends where its panel begins: pixels from the legend's foot down to the panel's top."""
    room = page.run(
        "return [...document.querySelectorAll('.js-plotly-plot')].filter((plot) => plot.querySelector('.legend'))"
        ".map((plot) => plot.getBoundingClientRect().top + plot._fullLayout._size.t"
        " - plot.querySelector('.legend').getBoundingClientRect().bottom)"
    )
    assert len(room) == 4
    assert min(room) > -1


def test_a_pair_can_be_hovered_over(page):
    where = page.run(
        "const plot = document.getElementById('frequencies-0'); plot.scrollIntoView({block: 'center'});"
        "const box = plot.getBoundingClientRect(), around = plot._fullLayout;"
        "return [box.x + around.margin.l + around.xaxis.d2p(2),"
        " box.y + around.margin.t + around.yaxis.d2p(plot.data[1].y[2])]"
    )
    page.point_at(*where)
    text = page.run("return document.querySelector('#frequencies-0 .hoverlayer').textContent")
    assert "pair 2, channels 2 and 10" in text
    assert "rad per position" in text


def test_table_of_numbers_has_every_pair(page):
    rows = page.run("return document.querySelectorAll('#numbers-0 tbody tr').length")
    assert rows == tightrope.read(DYNAMIC).rope().pairs


@pytest.mark.parametrize("name", ["parity", "audit"])
def test_heat_maps_show_what_was_found(name, page, dynamic):
    found = data_of(dynamic)[name]
    if not found or not found["rows"]:
        pytest.skip(f"nothing to show: no backend or library for the {name}")
    shown = page.run("return document.getElementById(arguments[0]).data[0].text", name)
    assert [len(row) for row in shown] == [len(found["columns" if name == "parity" else "positions"])] * len(
        found["rows"]
    )
    assert all(text is not None for row in shown for text in row)


def test_no_button_sends_anything(page):
    titles = page.run("return [...document.querySelectorAll('.modebar-btn')].map((one) => one.dataset.title)")
    assert set(titles) <= {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}


def test_text_of_a_configuration_is_never_run(window, tmp_path):
    model = tightrope.read(SHAPE)
    hostile = tightrope.ModelRope(ropes={HOSTILE: model.rope()}, layers=(), model_type=HOSTILE, notes=(HOSTILE,))
    (tmp_path / "hostile.html").write_bytes(report.page(report.report_data(hostile, HOSTILE, None, None)))
    window.open(tmp_path / "hostile.html")
    assert window.run("return document.body.dataset.hacked") is None
    assert window.run("return document.getElementById('title').textContent") == HOSTILE
    assert window.run("return document.querySelectorAll('img').length") == 0
    assert window.console() == []


def test_page_of_a_model_without_rope_opens(window, tmp_path):
    window.open(written(tmp_path, {**SHAPE, "model_type": "jamba"}))
    assert window.run("return document.getElementById('length-control').hidden")
    assert window.console() == []
