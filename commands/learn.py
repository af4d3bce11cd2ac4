"""`tightrope learn`."""

import click

from tightrope.commands.shared.common import examples
from tightrope.commands.shared.output import Output, output_options
from tightrope.rope.errors import shortened


@click.command(short_help="Print what transformers shows about a family.", epilog=examples("tightrope learn olmo2"))
@click.argument("model_type", metavar="MODEL_TYPE")
@output_options
def learn(model_type: str, out: Output) -> None:
    """Print what the installed transformers shows about a family, as a line of the family table.

    Its default model is built without weights or downloads and observed while it rotates. `read` does the same for a
    model_type that is not in the table. Exit status 1 if transformers does not have the family, or its code is not
    understood.
    """
    from tightrope.rope.reading.families.learned import learned_family

    found = learned_family(model_type)
    if found is None:
        raise click.ClickException(
            f"model_type {shortened(model_type)} cannot be learned: transformers is not installed or does not have it, "
            "or its rotation is not understood"
        )
    out.console.say_all(f"# {found.source}", *found.line(model_type).splitlines())
    out.write_json([{"model_type": model_type, "source": found.source, "columns": dict(found.columns)}])
