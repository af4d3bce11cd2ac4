"""The report in a browser: it draws, follows the slider, fetches nothing and runs no text of a configuration."""

from itertools import pairwise

import numpy as np
import pytest

import tightrope
from harness import browser
from samples.report_files import DYNAMIC, SHAPE, data_of, written
from tightrope.viewing import report
from tightrope.viewing.report.data import slider_lengths

pytest.importorskip("plotly")

HACK = "document.body.dataset.hacked='true'"
HOSTILE = f'</script><script>{HACK}</script><img src=x onerror="{HACK}">'


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """One browser for all tests; a console error of any page fails the test that opened it."""
    if browser.MISSING:
        pytest.skip(browser.MISSING)
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(window, dynamic_report):
    window.open(dynamic_report)
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


def test_position_axes_of_each_pair_are_drawn_and_said(window, tmp_path):
    config = {"model_type": "qwen2_vl", "text_config": {**SHAPE, "rope_scaling": {
        "type": "mrope", "mrope_section": [2, 3, 3]}}}  # fmt: skip
    rope = tightrope.read(config).rope()
    assert rope.mrope is not None
    assert rope.mrope.sections == (2, 3, 3)
    window.open(written(tmp_path, config))
    whole = curve(window, "frequencies-0", "default")
    drawn = [curve(window, "frequencies-0", f"axis {axis}") for axis in range(3)]
    for pair, axis in enumerate(rope.mrope.pair_axes(rope.pairs)):
        assert [row[pair] for row in drawn] == [whole[pair] if one == axis else None for one in range(3)]
    said = window.run("return document.getElementById('summary-0').textContent")
    assert said.endswith("Pairs by position axis: 2 on axis 0, 3 on axis 1, 3 on axis 2.")
    assert window.console() == []


def test_slider_says_tokens(page):
    move_slider(page, 4096)
    assert page.run("return document.getElementById('length').getAttribute('aria-valuetext')") == "4,096 tokens"


@pytest.fixture
def emulated(window):
    """The window with an emulated screen, put right again afterwards."""
    yield window
    window.emulate(1300)


def test_dark_scheme_is_dark_in_page_and_charts(emulated, dynamic_report):
    emulated.emulate(1280, "dark")
    emulated.open(dynamic_report)
    colours = emulated.run(
        "return [getComputedStyle(document.body).backgroundColor,"
        " ...[...document.querySelectorAll('.js-plotly-plot .main-svg:first-child')]"
        ".map((one) => getComputedStyle(one).backgroundColor)]"
    )
    assert set(colours) == {"rgb(22, 24, 27)"}
    assert emulated.console() == []


def test_narrow_page_stacks_its_charts(emulated, dynamic_report):
    emulated.emulate(400)
    emulated.open(dynamic_report)
    boxes = emulated.run(
        "return [...document.querySelectorAll('.grid > .chart')].map((one) => one.getBoundingClientRect())"
        ".map((box) => [box.left, box.top, box.right, box.bottom])"
    )
    assert all(lower[1] >= upper[3] for upper, lower in pairwise(boxes))
    assert all(left >= 0 and right <= 400 for left, _, right, _ in boxes)
    assert emulated.run("return document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("name", ["parity", "audit"])
def test_narrow_page_stacks_the_rows_of_heat_maps(name, emulated, dynamic_report):
    found = data_of(dynamic_report)[name]
    if not found or not found["rows"]:
        pytest.skip(f"nothing to show: no backend or library for the {name}")
    emulated.emulate(400)
    emulated.open(dynamic_report)
    stack = f"document.getElementById('{name}-stacked')"
    assert emulated.run(f"return [...{stack}.querySelectorAll('h3')].map((one) => one.textContent)") == found["rows"]
    boxes = emulated.run(
        f"return [...{stack}.querySelectorAll('dt, dd')].map((one) => one.getBoundingClientRect())"
        ".map((box) => [box.left, box.top, box.right, box.bottom])"
    )
    assert boxes
    assert all(right <= 400 for _, _, right, _ in boxes)
    assert all(under[1] >= over[3] - 1 for over, under in zip(boxes[::2], boxes[2::2], strict=False))
    assert not emulated.run(f"return document.getElementById('{name}').offsetHeight")


def test_wide_page_shows_the_heat_maps_alone(page):
    assert page.run("return document.getElementById('parity').offsetHeight") > 0
    assert page.run("return document.getElementById('parity-stacked').offsetHeight") == 0


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
def test_heat_maps_show_what_was_found(name, page, dynamic_report):
    found = data_of(dynamic_report)[name]
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


@pytest.mark.parametrize("title", ["@@DATA@@.json", "@@PLOTLY@@.json", "</script>.json", "<!--<script>.json"])
def test_any_title_is_shown_as_it_stands(title, window, tmp_path):
    data = report.report_data(tightrope.read(SHAPE), title, None, None)
    (tmp_path / "titled.html").write_bytes(report.page(data))
    window.open(tmp_path / "titled.html")
    assert window.run("return document.getElementById('title').textContent") == title
    assert window.run("return document.title") == f"{title}: rotary position embedding"
    assert window.console() == []


def test_page_of_a_model_without_rope_opens(window, tmp_path):
    window.open(written(tmp_path, {**SHAPE, "model_type": "jamba"}))
    assert window.run("return document.getElementById('length-control').hidden")
    assert window.console() == []
