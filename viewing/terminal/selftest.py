"""What `tightrope selftest` found, as a person reads it in a terminal."""

from typing import TYPE_CHECKING

from tightrope.verify.selftest.session import SelftestReport

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Screen


def print_report(screen: "Screen", report: SelftestReport) -> None:
    """Print a row per device, then what failed and what was not run."""
    from tightrope.viewing.terminal.console import Cell, grid, print_grid

    screen.say(", ".join(f"{key} {value}" for key, value in report.machine.items()))
    rows = []
    for one in report.devices:
        failed = Cell(str(len(one.failed)), "bold red" if one.failed else "")
        counts = (f"{len(one.checks):,}", f"{one.identical:,}", failed)
        rows.append([f"{one.backend} {one.version}", one.device, one.path, *counts])
    print_grid(screen, grid(("backend", "device", "rotates by", "checks", "same bits", "failed"), rows, left=3))
    screen.say_all(*report.remarks)
