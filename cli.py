"""The command line: a group of thin commands, and the exit status of what goes wrong.

0 fine, 1 disagreement or an input that cannot be right, 2 wrong usage, 130 interrupted, 141 the reader went away.
"""

import os
from typing import Any

import click

import tightrope
from tightrope.commands.audit import audit
from tightrope.commands.bench import bench
from tightrope.commands.convert import convert
from tightrope.commands.doctor import doctor
from tightrope.commands.fingerprint import fingerprint
from tightrope.commands.golden import golden
from tightrope.commands.inspect import inspect
from tightrope.commands.learn import learn
from tightrope.commands.parity import parity
from tightrope.commands.precision import precision
from tightrope.commands.report import report
from tightrope.commands.selftest import selftest
from tightrope.commands.shared.failures import exit_statuses
from tightrope.commands.shared.own_types import load_rope_types
from tightrope.commands.validate import validate


class _Commands(click.Group):
    """Commands whose failures become one line and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        with exit_statuses(ctx, traceback=ctx.params["traceback"]):
            load_rope_types(ctx.params["modules"])
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--traceback", is_flag=True, help="Show the traceback of an error.")
@click.option("--import", "modules", multiple=True, metavar="MODULE", help="Import it first: rope types of your own.")
@click.version_option(tightrope.__version__, prog_name="tightrope")
def main(traceback: bool, modules: tuple[str, ...]) -> None:
    """Rotary position embeddings, the same on PyTorch and MLX, and the proof."""
    _ = traceback, modules  # read by _Commands
    # The log of a library that is compared would stand among what we print.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


for _command in (
    parity,
    precision,
    inspect,
    validate,
    learn,
    convert,
    fingerprint,
    audit,
    golden,
    report,
    doctor,
    bench,
    selftest,
):
    main.add_command(_command)
