"""`tightrope fingerprint`."""

from typing import TYPE_CHECKING, Any

import click

from tightrope.commands.shared.common import Source, examples, read_model, sources_argument
from tightrope.commands.shared.failures import of_file
from tightrope.commands.shared.output import Output, output_options

if TYPE_CHECKING:
    from tightrope.rope.config.model import ModelRope


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
    and the exit status is 1 if there are any, or if one cannot be read.
    """
    first = read_model(sources[0], None, None)  # nothing can be compared with what cannot be read
    found = [_compared(source, first, seq_len) for source in sources]
    for one in found:
        out.console.say(f"{one['fingerprint']}  {one['source']}" if one["fingerprint"] else one["problem"])
        out.console.say_all(*(f"  {line}" for line in one["differences"]))
    out.write_json(found)
    apart = [one["source"] for one in found if one["differences"]]
    unread = [one["problem"] for one in found if one["problem"]]
    failure = "; ".join([*([f"rotated differently from {sources[0]}: {', '.join(apart)}"] if apart else []), *unread])
    out.finish(passed=not failure, failure=failure)


def _compared(source: Source, first: "ModelRope", seq_len: int | None) -> dict[str, Any]:
    """Return the fingerprint of one of several and how it differs from the first, or why it cannot be read."""
    from tightrope.rope.identity import fingerprints as library
    from tightrope.rope.identity.compare import differences

    said: dict[str, Any] = {"source": str(source), "fingerprint": None, "differences": [], "problem": None}
    try:
        model = read_model(source, None, None)
        name, lines = library.fingerprint(model, seq_len), list(differences(first, model, seq_len))
    except Exception as error:  # whatever it is, it is this file's own, and the others go on
        return {**said, "problem": of_file(str(source), error)}
    return {**said, "fingerprint": name, "differences": lines}
