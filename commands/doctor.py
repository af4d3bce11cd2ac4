"""`tightrope doctor`."""

import click

from tightrope.commands.shared.common import examples
from tightrope.commands.shared.output import Output, output_options


@click.command(
    short_help="Say what works on this machine, and what does not.",
    epilog=examples("tightrope doctor", "tightrope doctor --json doctor.json"),
)
@output_options
def doctor(out: Output) -> None:
    """Say what works on this machine, what does not, and what to do about it.

    Python, packages, backends with their devices and the code that rotates there, and the C kernel. Exit status 1 if
    something is wrong or no backend works.
    """
    from tightrope.verify import doctor as library
    from tightrope.viewing.terminal.doctor import print_checks

    with out.busy("looking at this machine"):
        checks = library.examine()
    print_checks(out.console, checks)
    out.write_json([library.to_dict(checks)])
    wrong = [one.subject for one in checks if one.state == "problem"]
    out.finish(passed=library.healthy(checks), failure=f"wrong here: {', '.join(wrong) or 'no backend works'}")
