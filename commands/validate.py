"""`tightrope validate`."""

import click

from tightrope.commands.shared.common import Source, examples, sources_argument
from tightrope.commands.shared.failures import in_a_line
from tightrope.commands.shared.output import Output, output_options


@click.command(
    epilog=examples(
        "tightrope validate path/to/config.json path/to/folder",
        "tightrope validate path/to/folder --json problems.json",
    )
)
@sources_argument()
@click.option("--strict", is_flag=True, help="Treat unknown keys and an unknown model_type as problems.")
@output_options
def validate(sources: tuple[Source, ...], strict: bool, out: Output) -> None:
    """Print what is wrong with configurations, a problem a line.

    SOURCE is a config.json, a folder that has one, a folder of *.json, a GGUF file, the name of a model on the Hugging
    Face hub, or - for standard input. Exit status 1 if there is a problem.
    """
    from tightrope.rope.reading.validate import find_sources

    found = {}
    for _, source in out.track(list(find_sources(sources)), "reading"):
        found[str(source)] = _problems(source, strict=strict)
        for line in found[str(source)]:
            out.console.say(line)
    out.write_json([{"source": source, "problems": lines} for source, lines in found.items()])
    wrong = [source for source, lines in found.items() if lines]
    out.finish(passed=not wrong, failure=f"problems in {', '.join(wrong)}")


def _problems(source: Source, *, strict: bool) -> list[str]:
    """Return the problems of one configuration of many: an error in it is its own, and the others are read."""
    from tightrope.rope.reading.validate import problems

    try:
        return problems(source, strict=strict)
    except Exception as error:  # whatever it is, it has its line, and the exit status says so
        return [f"{source}: cannot be read: {in_a_line(error)}"]
