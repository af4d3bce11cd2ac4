"""Which processor this is: what a figure says without it holds nowhere."""

import platform
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

_LINUX: Final = Path("/proc/cpuinfo")
_MACOS: Final = ("sysctl", "-n", "machdep.cpu.brand_string")


@cache
def processor() -> str:
    """Return the name of the host's processor, with family and model where Linux tells; else the architecture."""
    try:
        if platform.system() == "Darwin":
            named = subprocess.run(_MACOS, capture_output=True, text=True, check=True).stdout.strip()
        else:
            named = named_by(_LINUX.read_text())
    except (OSError, subprocess.SubprocessError):
        named = ""
    return named or platform.processor() or platform.machine()


def named_by(cpuinfo: str) -> str:
    """Return the name in the text of /proc/cpuinfo, with family and model; `""` where it has none, as on ARM.

    Virtual machines hide the name, not the family: `"AMD EPYC (family 25, model 17)"` is Zen 4.
    """
    found = dict(re.findall(r"^(model name|cpu family|model)\s*: (.+)$", cpuinfo, re.MULTILINE))
    kind = ", ".join(
        f"{word} {found[key]}" for key, word in (("cpu family", "family"), ("model", "model")) if key in found
    )
    name = found.get("model name", "").strip()
    return f"{name} ({kind})" if name and kind else name
