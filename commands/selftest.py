"""`tightrope selftest`."""

import click

from tightrope.commands.common import as_json, console, examples, write


@click.command(
    short_help="Test the kernels on this machine's own devices.",
    epilog=examples("tightrope selftest", "tightrope selftest -o selftest.md --json selftest.json"),
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write the report there, too.")
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write every check there (-: print it).")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@click.pass_context
def selftest(ctx: click.Context, output: str | None, json_file: str | None, quiet: bool) -> None:
    """Hold every device of this machine to the definition of the rotation.

    Kernels must give its bits; framework operations may be off by rounding. The report is Markdown, to send to
    somebody; it says what was not run. Exit status 1 where a check fails or nothing could be run.
    """
    from tightrope.backends import selftest as library

    progress = console(stderr=True)
    report = library.run(lambda device: None if quiet else progress.print(f"{device} …"))
    page = report.to_markdown()
    if not quiet and json_file != "-":
        click.echo(page, nl=False)
    if output:
        write(output, page.encode())
    if json_file:
        write(json_file, as_json(report.to_dict()))
    ctx.exit(0 if report.passed else 1)
