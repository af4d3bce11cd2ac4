"""`tightrope golden write` and `tightrope golden check`."""

from typing import Any

import click

from tightrope.commands.common import (
    as_json,
    backends_option,
    console,
    examples,
    name_of,
    read_model,
    rope_options,
    with_progress,
    write,
)


@click.group(short_help="Compare this machine with another one.")
def golden() -> None:
    """Is this machine the same as that one? Write a file on one, check it on the other."""


@golden.command(
    "write",
    epilog=examples(
        "tightrope golden write path/to/config.json -o llama.safetensors",
        "tightrope golden write path/to/model -o llama.safetensors --backends torch:cuda:0",
    ),
)
@click.argument("source")
@click.option("-o", "--output", type=click.Path(dir_okay=False), required=True, metavar="FILE", help="What to write.")
@backends_option
@rope_options
def write_file(
    source: str, output: str, wanted: list[str], block: dict[str, Any] | None, layer_type: str | None
) -> None:
    """Record the bits that this machine computes for a configuration.

    Frequencies, angles, trajectories through a growing sequence, rotations and gradients in three dtypes, and what
    computed them. SOURCE is a config.json or a folder that has one.
    """
    from tightrope.backends import golden as library
    from tightrope.backends.parity import choose

    if len(wanted) > 1:
        raise click.UsageError("a file holds one backend: name one with --backends")
    model = read_model(source, block, layer_type)
    subject = choose(wanted)[0][0]
    try:
        library.write(output, model, subject, name_of(source))
    except OSError as error:
        raise click.FileError(output, error.strerror or str(error)) from error
    click.echo(f"{output}: {subject.name}, {subject.backend.path(subject.device)}")


@golden.command(
    "check",
    epilog=examples(
        "tightrope golden check llama.safetensors",
        "tightrope golden check llama.safetensors --backends mlx:gpu --json result.json",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@backends_option
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write every finding there (-: print it).")
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict alone.")
@click.pass_context
def check_files(
    ctx: click.Context, files: tuple[str, ...], wanted: list[str], json_file: str | None, quiet: bool
) -> None:
    """Compare the backends of this machine with files written on another.

    Bit for bit first; where bits differ, in ulps of the pair's norm. Exit status 1 where that is more than rounding
    explains, or a file is damaged.
    """
    from tightrope.backends import golden as library
    from tightrope.backends.parity import choose

    subjects, _ = choose(wanted)
    shown_on = console(stderr=json_file == "-")
    reports = {}
    for path in with_progress(files, "checking", shown_on):
        reports[path] = library.check(path, subjects)
        if not quiet:
            library.print_report(shown_on, reports[path])
        shown_on.print(f"{path}: {library.verdict(reports[path])}")
    if json_file:
        write(json_file, as_json({path: report.to_dict() for path, report in reports.items()}))
    ctx.exit(0 if all(report.agrees for report in reports.values()) else 1)
