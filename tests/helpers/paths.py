"""Where things lie in the checkout."""

import subprocess
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def source_files():
    """Return the files of the checkout; in a copy without git, what .gitignore does not leave out by its name."""
    if (ROOT / ".git").exists():
        ran = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [path for path in map(ROOT.joinpath, ran.stdout.splitlines()) if path.is_file()]
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line and line[0] != "#"]
    parts = {path: path.relative_to(ROOT).parts for path in ROOT.rglob("*") if path.is_file()}
    return [path for path, names in parts.items() if not any(fnmatch(n, i) for n in names for i in ignored)]
