"""Every rotary family of the installed transformers, as its own attention rotates, against Tightrope on both backends.

`python tests/helpers/sweep_table.py` prints the table of what these tests find.
"""

import pytest

pytest.importorskip("transformers")

import tightrope
from known_differences import KNOWN_DIFFERENCES, TRANSFORMERS
from sweep.running import DRIVEN, cases, verdicts
from sweep.subjects.discovery import rotary_families
from sweep.subjects.refusing import configurations
from sweep.subjects.settings import BEFORE_PROJECTION, NEVER_APPLIED, NOT_A_ROTATION, NOT_ROTATED

pytestmark = [
    pytest.mark.backend("torch", "mlx"),
    pytest.mark.filterwarnings("ignore"),  # transformers warns about its own defaults
]
FAMILIES = rotary_families()
# musicflamingo's audio features turn before the projection; its text part is Qwen2 and is read as that.
REFUSED = [family for family in (*NOT_A_ROTATION, *BEFORE_PROJECTION) if family != "musicflamingo"]
# An older transformers has not got every family.
LEDGER = [entry for entry in KNOWN_DIFFERENCES if entry.library == TRANSFORMERS and entry.family in FAMILIES]


def of_status(family, status):
    return [verdict for verdict in verdicts(family) if verdict.status == status]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_with_rotary_code_is_driven_or_named_with_its_reason(family):
    assert bool(cases(family)) != (family in NOT_ROTATED)


@pytest.mark.parametrize("family", DRIVEN)
def test_both_backends_rotate_as_the_family_does(family):
    assert not [f"{verdict.case}: {verdict.text}" for verdict in of_status(family, "differs")]


@pytest.mark.parametrize("family", DRIVEN)
def test_nothing_that_can_be_driven_is_refused(family):
    assert not [f"{verdict.case}: {verdict.text}" for verdict in of_status(family, "unsupported")]


@pytest.mark.parametrize("entry", LEDGER, ids=lambda entry: f"{entry.family}-{entry.scaling}")
def test_a_known_difference_still_shows(entry):
    shown = {(verdict.variant, verdict.content) for verdict in of_status(entry.family, "known difference")}
    assert (entry.scaling, entry.content or "text") in shown


@pytest.mark.parametrize("family", sorted({entry.family for entry in LEDGER}))
def test_no_family_is_wholly_a_known_difference(family):
    assert of_status(family, "agree")


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_rotates_nothing_by_token_is_refused_by_name(family):
    for values in configurations(family):
        with pytest.raises(
            tightrope.RopeConfigError, match=rf"model_type '{values['model_type']}' cannot be expressed"
        ):
            tightrope.read(values)


@pytest.mark.parametrize("family", NEVER_APPLIED)
def test_a_family_that_never_applies_its_rotary_code_reads_as_having_none(family):
    assert [dict(tightrope.read(values).ropes) for values in configurations(family)] == [
        {} for _ in configurations(family)
    ]
