"""Print what the sweep finds: `python tests/helpers/sweep_table.py [--json | --summary] [family …]`.

One line per model family of the installed transformers: its cases, how many agree on both backends, how many differ
for a known reason, how many Tightrope does not support.
"""

import argparse
import json
import warnings
from dataclasses import asdict

import transformers

from sweep.report import summary, table
from sweep.running import all_verdicts, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", metavar="family", help="only these (default: all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one object per case")
    form.add_argument("--summary", action="store_true", help="the table that README.md quotes")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [verdict for family in options.families for verdict in verdicts(family)]
    found = chosen if options.families else all_verdicts()
    if options.json:
        print(json.dumps([asdict(verdict) for verdict in found], indent=1))
    else:
        print(summary(found, transformers.__version__) if options.summary else table(found))
    return int(any(verdict.status == "differs" for verdict in found))


if __name__ == "__main__":
    raise SystemExit(main())
