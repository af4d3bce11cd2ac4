"""`tightrope golden write` and `tightrope golden check`."""

from dataclasses import asdict
from typing import Any

import click

from tightrope.commands.shared.common import (
    Source,
    backends_option,
    choose,
    examples,
    name_of,
    read_model,
    rope_options,
    source_argument,
)
from tightrope.commands.shared.output import Output, file_errors, file_option, output_options


@click.group(short_help="Compare this machine with another one.")
def golden() -> None:
    """Is this machine the same as that one? Write a file on one, check it on the other."""


@golden.command(
    "write",
    epilog=examples(
        "tightrope golden write path/to/config.json -o llama.safetensors",
        "tightrope golden write model -o llama.safetensors --backends torch:cuda:0",
    ),
)
@source_argument()
@file_option(required=True, help="File to write.")
@backends_option
@rope_options
@output_options
def write_file(
    source: Source, path: str, wanted: list[str], block: dict[str, Any] | None, layer_type: str | None, out: Output
) -> None:
    """Record the bits that this machine computes for a configuration.

    Frequencies, angles, trajectories through a growing sequence, rotations and gradients in three dtypes, and what
    computed them. SOURCE is a config.json, a folder that has one, a GGUF file, the name of a model on the
    Hugging Face hub, or - for standard input.
    """
    from tightrope.verify import golden as library

    if path == "-":
        raise click.UsageError("-o must name a file: the recording is binary")
    if len(wanted) > 1:
        raise click.UsageError("a file holds one backend: name one with --backends")
    model = read_model(source, block, layer_type)
    subject = choose(out, wanted)[0][0]
    with out.busy("recording"), file_errors(path):
        story = library.write(path, model, subject, name_of(source))
    out.written(path, f", {story.backend}, {story.path}")
    out.write_json([{"file": path, "story": asdict(story)}])


@golden.command(
    "check",
    epilog=examples(
        "tightrope golden check llama.safetensors",
        "tightrope golden check llama.safetensors --backends mlx:gpu --json r.json",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@backends_option
@output_options
def check_files(files: tuple[str, ...], wanted: list[str], out: Output) -> None:
    """Compare the backends of this machine with files written on another.

    Bit for bit first; where bits differ, in ulps of the pair's norm. Exit status 1 where that is more than rounding
    explains, or a file is damaged.
    """
    from tightrope.verify import golden as library
    from tightrope.viewing.terminal import golden as shown

    subjects, _ = choose(out, wanted)
    reports = {}
    for path in out.track(files, "checking"):
        reports[path] = library.check(path, subjects)
        shown.print_report(out.console, reports[path])
        out.console.say(f"{path}: {shown.verdict(reports[path])}")
    out.write_json([{"file": path, **report.to_dict()} for path, report in reports.items()])
    failed = [f"{path}: {shown.verdict(report)}" for path, report in reports.items() if not report.agrees]
    out.finish(passed=not failed, failure="; ".join(failed))
