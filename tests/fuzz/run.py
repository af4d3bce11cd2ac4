"""Fuzz one reader for long: by mutation, or guided by coverage where atheris is installed.

    python tests/fuzz/run.py json --count 200000
    python tests/fuzz/run.py gguf --atheris --seconds 3600

Prints how many inputs were tried. A failure is written to tests/fuzz/corpus and told; the exit status is then 1.
"""

import argparse
import hashlib
import itertools
import os
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("dict", "json", "gguf", "golden", "command"))
    parser.add_argument("--count", type=int, default=10_000, help="inputs to try (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other inputs")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage; needs the package atheris")
    given = parser.parse_args()
    return guided(given) if given.atheris else drawn(given)


def drawn(given: argparse.Namespace) -> int:
    """Try so many mutations."""
    from fuzz_inputs import mutated, seeds
    from fuzz_targets import TARGETS

    started, tried = time.monotonic(), 0
    for data in itertools.islice(mutated(given.target, seeds(given.target), given.seed), given.count):
        if time.monotonic() - started > given.seconds:
            break
        try:
            TARGETS[given.target](data)
        except Exception:
            keep(given.target, data)
            traceback.print_exc()
            return 1
        tried += 1
    print(f"{given.target}: {tried:,} inputs, no failure, {time.monotonic() - started:.0f} s")
    return 0


def guided(given: argparse.Namespace) -> int:
    """Let atheris choose inputs by what they reach. It ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["tightrope"]):
        from fuzz_inputs import CORPUS, seeds
        from fuzz_targets import TARGETS

    folder = Path(f".fuzz-{given.target}")
    folder.mkdir(exist_ok=True)
    for data in seeds(given.target):
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    kind = "json" if given.target == "dict" else given.target
    runs = -1 if given.seconds != float("inf") else given.count
    limit = 0 if given.seconds == float("inf") else int(given.seconds)
    options = [f"-atheris_runs={runs}", f"-max_total_time={limit}", f"-artifact_prefix={CORPUS / kind}{os.sep}"]
    atheris.Setup([sys.argv[0], str(folder), *options], TARGETS[given.target])
    atheris.Fuzz()
    return 0


def keep(target: str, data: bytes) -> None:
    from fuzz_inputs import CORPUS

    path = CORPUS / ("json" if target == "dict" else target) / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    print(f"failed; the input is kept in {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
