"""Compare a built wheel with the files that git tracks: nothing forgotten, nothing besides, one top-level name.

usage: git ls-files | python .ci/check_wheel.py dist/tightrope-*.whl
"""

import re
import sys
import zipfile

# At the top only these belong to the package; in these folders everything but the linter's settings.
TOP = {"__init__.py", "__main__.py", "cli.py", "keys.py", "py.typed"}
FOLDERS = ("backends/", "commands/", "rope/", "verify/", "viewing/")
# What the build makes of the C kernel; absent where there is no compiler.
BUILT = re.compile(r"tightrope/backends/kernels/_cpu\.(abi3\.so|cpython-\w+-[\w-]+\.so|pyd)")


def belongs(path: str) -> bool:
    """Return whether a tracked file is part of the package."""
    return path in TOP or (path.startswith(FOLDERS) and not path.endswith("ruff.toml"))


def main(wheel: str) -> None:
    """Exit with what is wrong, silently when nothing is."""
    names = {
        name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name and not BUILT.fullmatch(name)
    }
    expected = {f"tightrope/{line}" for line in sys.stdin.read().splitlines() if belongs(line)}
    problems = [f"missing from the wheel: {name}" for name in sorted(expected - names)]
    problems += [f"does not belong into the wheel: {name}" for name in sorted(names - expected)]
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
