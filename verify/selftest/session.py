"""Does the code that rotates on this machine's devices give the bits of the definition? What `tightrope selftest` runs.

Kernels promise the bits of `tightrope.rope.reference`; here each one is held to that where it really runs. Framework
operations promise a few ulps, see `tightrope.verify.parity.tolerances`.
"""

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from tightrope.backends import ENTRIES, load, names
from tightrope.rope.errors import BackendUnavailable
from tightrope.verify.selftest.checks import DeviceCheck, checks

_FRAMEWORK: Final = "framework operations"


@dataclass(frozen=True)
class Device:
    """What was run on one device of one backend.

    Attributes:
        backend: Its name.
        version: Its framework's version.
        device: The device.
        path: Which code rotated there, in words.
        checks: All of them, also those that passed.
    """

    backend: str
    version: str
    device: str
    path: str
    checks: tuple[DeviceCheck, ...]

    @property
    def identical(self) -> int:
        """How many checks gave the bits of the definition."""
        return sum(check.identical for check in self.checks)

    @property
    def failed(self) -> tuple[DeviceCheck, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)


@dataclass(frozen=True)
class SelftestReport:
    """The outcome on a machine.

    Attributes:
        machine: What it is.
        devices: What was run.
        not_run: What was not, and why: a sentence each.
    """

    machine: dict[str, str]
    devices: tuple[Device, ...]
    not_run: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Something was run, and all of it passed."""
        return bool(self.devices) and not any(device.failed for device in self.devices)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What failed, and what was not run, a line each."""
        failed = [line for device in self.devices for line in _failures(device)]
        return (*failed, *(f"Not run: {why}" for why in self.not_run))

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {"passed": self.passed, **asdict(self)}

    def to_markdown(self) -> str:
        """Return the report as a page to send to somebody."""
        lines = ["# tightrope selftest", "", ", ".join(f"{key} {value}" for key, value in self.machine.items()), ""]
        lines += ["| backend | device | rotates by | checks | same bits | failed |", "|---|---|---|---|---|---|"]
        lines += [_row(device) for device in self.devices]
        lines += ["", *(f"- {line}" for line in self.remarks)]
        return "\n".join(lines).rstrip() + "\n"


def run(tell: Callable[[str], None] = lambda device: None) -> SelftestReport:
    """Hold every device of every installed backend to the definition.

    Args:
        tell: Called with the name of each device before its checks.
    """
    devices: list[Device] = []
    not_run: list[str] = []
    for name in names():
        try:
            backend = load(name)
        except BackendUnavailable as error:
            not_run.append(str(error))
            continue
        not_run += _absent(name, backend.devices())
        for device in backend.devices():
            tell(f"{name} {device}")
            path = backend.path(device)
            done = tuple(checks(backend, device, exact=not path.startswith(_FRAMEWORK)))
            devices.append(Device(name, backend.version, device, path, done))
    return SelftestReport(_machine(), tuple(devices), tuple(not_run))


def _absent(name: str, present: tuple[str, ...]) -> Iterator[str]:
    for kind in ENTRIES[name].kinds:
        if not any(device.startswith(kind) for device in present):
            yield f"{name} on {kind}: there is no such device here."


def _machine() -> dict[str, str]:
    return {
        "Python": platform.python_version(),
        "on": platform.platform(),
        "processor": platform.processor() or platform.machine(),
    }


def _row(device: Device) -> str:
    counts = (len(device.checks), device.identical, len(device.failed))
    cells = (f"{device.backend} {device.version}", device.device, device.path, *counts)
    return f"| {' | '.join(map(str, cells))} |"


def _failures(device: Device) -> Iterator[str]:
    for check in device.failed:
        yield f"{device.backend} {device.device}: {check.name} {check.error or f'{check.ulps:.3g} ulp off'}"
