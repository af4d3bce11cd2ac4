"""Random calls of the C kernel under AddressSanitizer and ThreadSanitizer, and that these see what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT
from proofs.cpu import native_build
from proofs.cpu.sanitized import RUNTIME

pytestmark = [native_build.needs_compiler, pytest.mark.skipif(sys.platform != "linux", reason="preloads as Linux does")]


def run(sanitizer, calls):
    script = ROOT / "tests" / "helpers" / "proofs" / "cpu" / "sanitized.py"
    return subprocess.run([sys.executable, script, sanitizer, str(calls)], capture_output=True, text=True)


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_random_calls_touch_nothing_that_is_not_theirs(sanitizer):
    where = [native_build.compiler, f"-print-file-name={RUNTIME[sanitizer]}"]
    if not Path(subprocess.run(where, capture_output=True, text=True).stdout.strip()).is_absolute():
        pytest.skip(f"this compiler has no {RUNTIME[sanitizer]}")
    ran = run(sanitizer, 200)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "200 calls" in ran.stdout
