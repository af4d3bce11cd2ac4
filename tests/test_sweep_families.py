"""Every rotary family of the installed transformers, as its own attention rotates, against Tightrope on both backends.

`python tests/sweep_table.py` prints the table of what these tests found.
"""

import pytest

pytest.importorskip("transformers")

from sweep.discovery import rotary_families
from sweep.running import cases, verdicts
from sweep.settings import NOT_ROTATED

pytestmark = [
    pytest.mark.backend("torch", "mlx"),
    # transformers' own: it warns about its defaults
    pytest.mark.filterwarnings("ignore"),
]
DRIVEN = [family for family in rotary_families() if family not in NOT_ROTATED]


@pytest.mark.parametrize("family", rotary_families())
def test_every_family_with_rotary_code_is_driven_or_named_with_its_reason(family):
    assert bool(cases(family)) != (family in NOT_ROTATED)


@pytest.mark.parametrize("family", DRIVEN)
def test_both_backends_rotate_as_the_family_does(family):
    wrong = [f"{verdict.case}: {verdict.text}" for verdict in verdicts(family) if verdict.status == "differs"]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("family", DRIVEN)
def test_every_configuration_that_transformers_runs_can_be_read(family):
    refused = [f"{verdict.case}: {verdict.text}" for verdict in verdicts(family) if verdict.status == "unsupported"]
    assert not refused, "\n".join(refused)
