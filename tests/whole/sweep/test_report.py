"""The sweep's table: what it counts, and that docs/how-to/evidence.md quotes it as it is."""

import re
from importlib.metadata import version

import pytest

from paths import ROOT

pytest.importorskip("transformers")

from sweep.judging import Verdict
from sweep.report import summary, table
from sweep.running import all_verdicts


def verdict(family, status, content="text"):
    return Verdict(f"{family}/case", family, "default", content, status)


def test_the_table_counts_cases_by_family_and_by_status():
    found = [verdict("b", "agree"), verdict("a", "agree"), verdict("b", "unsupported"), verdict("b", "agree")]
    assert [line.split() for line in table(found).splitlines()] == [
        ["family", "cases", "agree", "known", "difference", "unsupported"],
        ["a", "1", "1", "·", "·"],
        ["b", "3", "2", "·", "1"],
        ["2", "families", "4", "3", "·", "1"],
    ]


def test_the_table_has_a_column_for_what_differs_only_where_something_does():
    assert table([verdict("a", "differs")]).splitlines()[0].split()[-1] == "differs"


def test_the_summary_counts_families_and_cases_by_content():
    found = [verdict("a", "agree"), verdict("a", "known difference"), verdict("b", "agree", "picture")]
    assert [line.split("|")[2:-1] for line in summary(found, "5").splitlines()[2:]] == [
        [" 1 ", " 2 ", " 1 ", " 1 ", " 0 "],
        [" 1 ", " 1 ", " 1 ", " 0 ", " 0 "],
        [" 0 ", " 0 ", " 0 ", " 0 ", " 0 "],
    ]


@pytest.mark.backend("torch", "mlx")
@pytest.mark.filterwarnings("ignore")  # transformers warns about its own defaults
def test_the_page_about_evidence_quotes_what_the_sweep_finds():
    text = (ROOT / "docs/how-to/evidence.md").read_text()
    quoted = re.findall(r"\| transformers (\S+) \| families \|", text)
    if version("transformers") not in quoted:
        pytest.skip(f"docs quote transformers {', '.join(quoted)}, and {version('transformers')} is installed")
    assert summary(all_verdicts(), version("transformers")) in text
