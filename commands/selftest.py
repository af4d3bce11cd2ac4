"""`tightrope selftest`."""

import click

from tightrope.commands.shared.common import examples
from tightrope.commands.shared.output import Output, file_option, output_options, write


@click.command(
    short_help="Test the kernels on this machine's own devices.",
    epilog=examples("tightrope selftest", "tightrope selftest -o selftest.md --json selftest.json"),
)
@file_option(help="Also write the report to FILE, as Markdown.")
@output_options
def selftest(path: str | None, out: Output) -> None:
    """Test every device of this machine against the definition of the rotation.

    Kernels must give its exact bits; framework operations may differ by rounding. What was not run
    is named. Exit status 1 if a check fails or nothing could be run.
    """
    from tightrope.verify.selftest import session as library
    from tightrope.viewing.terminal.selftest import print_report

    with out.busy("testing") as say:
        report = library.run(lambda device: say(f"testing {device}"))
    print_report(out.console, report)
    if path:
        write(path, report.to_markdown().encode())
        out.written(path)
    out.write_json([report.to_dict()])
    failed = [f"{one.backend} {one.device}" for one in report.devices if one.failed]
    out.finish(passed=report.passed, failure=f"failed on {', '.join(failed)}" if failed else "nothing could be run")
