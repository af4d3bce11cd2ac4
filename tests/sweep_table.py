"""Print what the sweep finds: `python tests/sweep_table.py [--json] [family …]`.

One line per model family of the installed transformers: its cases, how many agree on both backends, how many differ
for a known reason, how many Tightrope does not support.
"""

import argparse
import json
import warnings
from dataclasses import asdict

from sweep.report import table
from sweep.running import all_verdicts, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", metavar="family", help="only these (default: all)")
    parser.add_argument("--json", action="store_true", help="one object per case")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = (
        [verdict for family in options.families for verdict in verdicts(family)] if options.families else all_verdicts()
    )
    print(json.dumps([asdict(verdict) for verdict in found], indent=1) if options.json else table(found))
    return int(any(verdict.status == "differs" for verdict in found))


if __name__ == "__main__":
    raise SystemExit(main())
