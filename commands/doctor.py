"""`tightrope doctor`."""

import click

from tightrope.commands.common import as_json, console, examples, write


@click.command(
    short_help="Say what works on this machine, and what does not.",
    epilog=examples("tightrope doctor", "tightrope doctor --json"),
)
@click.option("--json", "as_object", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_object: bool) -> None:
    """Say what works on this machine, what does not, and what to do about it.

    Python, packages, backends with their devices and the code that rotates there, the C kernel. Exit status 1 where
    something is wrong or no backend works.
    """
    from tightrope.backends import doctor as library
    from tightrope.viewing.checks import print_checks

    checks = library.examine()
    if as_object:
        write("-", as_json(library.to_dict(checks)))
    else:
        print_checks(console(), checks)
    ctx.exit(0 if library.healthy(checks) else 1)
