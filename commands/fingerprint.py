"""`tightrope fingerprint`."""

from typing import Any

import click

from tightrope.commands.shared.common import Source, examples, read_model, sources_argument
from tightrope.commands.shared.output import Output, output_options


@click.command(
    epilog=examples(
        "tightrope fingerprint path/to/config.json",
        "tightrope fingerprint path/to/model.gguf path/to/config.json",
        "tightrope fingerprint path/to/config.json --seq-len 32768",
    )
)
@sources_argument()
@click.option("--seq-len", type=click.IntRange(min=0), metavar="TOKENS", help="Only the frequencies of this length.")
@output_options
def fingerprint(sources: tuple[Source, ...], seq_len: int | None, out: Output) -> None:
    """Name the rotation of a model: equal names, equal rotations.

    SOURCE is a config.json, a folder that has one, a GGUF file, a params.json, the name of a model on the Hugging Face
    hub, or - for standard input. Each further SOURCE is compared with the first: the differences are printed in words,
    and the exit status is 1 if there are any.
    """
    from tightrope.rope.identity import fingerprints as library
    from tightrope.rope.identity.compare import differences

    models = [read_model(source, None, None) for source in sources]
    found: list[dict[str, Any]] = []
    for source, model in zip(sources, models, strict=True):
        lines = differences(models[0], model, seq_len)
        name = library.fingerprint(model, seq_len)
        found.append({"source": str(source), "fingerprint": name, "differences": list(lines)})
        out.console.say(f"{name}  {source}")
        for line in lines:
            out.console.say(f"  {line}")
    out.write_json(found)
    different = [one["source"] for one in found if one["differences"]]
    out.finish(passed=not different, failure=f"rotated differently from {sources[0]}: {', '.join(different)}")
