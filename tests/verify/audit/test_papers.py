"""The audit in the documentation: its words are the tool's, its rows what the named versions still do."""

import re
from importlib import metadata

import pytest
from click.testing import CliRunner

from audits.mlx_lm_facts import KNOWN
from audits.peers import WRONG
from paths import ROOT
from tightrope.cli import main

PAGE = (ROOT / "docs" / "how-to" / "audit.md").read_text()


def rows(text):
    """Return the cells of the table lines of a text, without the line of dashes."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("| ---")]


HEADER, *ROWS = rows(re.search(r"^## Popular models\n(.*?)^## ", PAGE, re.M | re.S)[1])
CAUSES = {cause for cell, *others in rows(PAGE) if len(others) == 1 for cause in cell.split(", ")}


def test_the_page_explains_every_cause_that_an_audit_names():
    named = {cause for case in (*KNOWN.values(), *WRONG.values()) for cause in case[2]}
    assert named | {"unknown", "softmax factor"} <= CAUSES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_nothing_that_the_page_does_not_explain(row):
    assert len(row) == len(HEADER)
    for cell in row[1:]:
        verdict, _, causes = cell.partition(": ")
        words = {"right", "right, rounding", "–"} if not causes else {"WRONG", "refuses"}
        assert verdict in words
        assert not causes or set(causes.split(", ")) <= CAUSES


def audited(paths, options):
    """Return what the tool prints beside each file name."""
    lines = CliRunner(env={"COLUMNS": "200"}).invoke(main, ["audit", *map(str, paths), *options]).output.splitlines()
    names = {path.stem for path in paths}
    printed = (re.split(r"  +", line.strip()) for line in lines)
    return {cells[0]: cells[1] for cells in printed if cells[0] in names}


@pytest.mark.backend("torch", "mlx")
@pytest.mark.parametrize("column", range(1, len(HEADER)), ids=HEADER[1:])
def test_the_rows_are_what_the_tool_prints_for_these_versions(shared, column):
    """A newer library may do otherwise: then the table is of its date, and nothing is compared."""
    title, _, spelling = HEADER[column].partition(", ")
    peer, version = title.split()
    pytest.importorskip(peer.replace("-", "_"), exc_type=ImportError)
    if metadata.version(peer) != version:
        pytest.skip(f"the table is of {title}, here is {metadata.version(peer)}")
    files = {row[0]: shared / "configs" / f"{row[0].lower()}.json" for row in ROWS}
    assert all(path.exists() for path in files.values())
    found = audited(list(files.values()), ["--against", peer, *spelling.strip("`").split()])
    assert {name: found.get(path.stem) for name, path in files.items()} == {row[0]: row[column] for row in ROWS}
