"""`tightrope golden write` and `tightrope golden check`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

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
from tightrope.commands.shared.failures import of_file
from tightrope.commands.shared.output import Output, file_errors, file_option, output_options
from tightrope.rope.errors import ExtraMissing
from tightrope.rope.support.extras import import_extra

if TYPE_CHECKING:
    from tightrope.verify.golden import GoldenReport
    from tightrope.verify.parity import OnDevice


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
    import_extra("safetensors", purpose="golden files")  # backends take a while
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
    found, failed = [], []
    for path in out.track(files, "checking"):
        report = library.check(path, subjects) if len(files) == 1 else _checked(path, subjects)
        if isinstance(report, str):
            found.append({"file": path, **_UNREAD, "error": report})
            failed.append(report)
            out.console.say(report, "bold red")
            continue
        found.append({"file": path, **report.to_dict()})
        shown.print_report(out.console, report)
        verdict = f"{path}: {shown.verdict(report)}"
        out.console.say(verdict)
        failed += [] if report.agrees else [verdict]
    out.write_json(found)
    out.finish(passed=not failed, failure="; ".join(failed))


_UNREAD: Final = {"agrees": False, "identical": False, "story": None, "findings": ()}


def _checked(path: str, subjects: "list[OnDevice]") -> "GoldenReport | str":
    """Return the report on one file of many, or why there is none: the others are compared all the same."""
    from tightrope.verify import golden as library

    try:
        return library.check(path, subjects)
    except ExtraMissing:
        raise  # of all files, not of this one
    except Exception as error:  # whatever it is, it has its line, and the exit status says so
        return of_file(path, error)
