"""Run the C kernel as a sanitizer's compiler makes it: one command each.

usage: python tests/helpers/proofs/cpu/sanitized.py address|thread [CALLS]

AddressSanitizer: random calls (sizes, strides, dtypes, layouts, sources of angles) on memory that ends where the tensor
ends. ThreadSanitizer: the same from several threads at once, each call with several threads of the kernel's own. Prints
the number of calls, exits with the sanitizer's status.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

from proofs.cpu import native_build  # noqa: E402  # found through the line above

FLAGS = {
    "address": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    "thread": ("-O1", "-g", "-fsanitize=thread"),
}
RUNTIME = {"address": "libasan.so", "thread": "libtsan.so"}
OPTIONS = {
    # Python frees nothing at exit that it holds on to.
    "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:report_signal_unsafe=0:ignore_noninstrumented_modules=1",
}


def main(sanitizer, calls="20000"):
    """Build the extension with this sanitizer and run the calls under it."""
    with tempfile.TemporaryDirectory() as folder:
        build = native_build.Build(Path(folder), FLAGS[sanitizer])
        build.compile(*native_build.SOURCES)
        command = [sys.executable, "-m", "proofs.cpu.random_calls", str(build.link()), calls, sanitizer]
        where = [native_build.compiler, f"-print-file-name={RUNTIME[sanitizer]}"]
        runtime = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
        environment = os.environ | OPTIONS | {"LD_PRELOAD": runtime}
        return subprocess.run(command, cwd=Path(__file__).parents[2], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
