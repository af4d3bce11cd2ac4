"""`tightrope audit`."""

import os
from typing import Literal

import click

from tightrope.commands.common import as_json, console, examples, name_of, with_progress, write


def _peer_names(ctx: click.Context, option: click.Parameter, value: str | None) -> list[str]:
    from tightrope.backends.audit import PEERS

    wanted = [one.strip() for one in value.split(",")] if value else []
    for one in wanted:
        if one not in PEERS:
            raise click.BadParameter(f"{one!r} is none of {', '.join(PEERS)}")
    return wanted


@click.command(
    epilog=examples(
        "tightrope audit path/to/model",
        "tightrope audit path/to/configs --against mlx-lm --spelling v5",
    )
)
@click.argument("sources", nargs=-1, required=True, metavar="MODEL_OR_CONFIG...")
@click.option("--against", callback=_peer_names, metavar="NAMES", help="Such as transformers,mlx-lm.")
@click.option("--spelling", type=click.Choice(["v4", "v5"]), help="Write the configuration so first.")
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write every figure there (-: print it).")
@click.pass_context
def audit(
    ctx: click.Context,
    sources: tuple[str, ...],
    against: list[str],
    spelling: Literal["v4", "v5"] | None,
    json_file: str | None,
) -> None:
    """Tell whether other libraries rotate a model right.

    The rope objects of transformers, mlx-lm and mlx-vlm, those that are installed, are built without weights or
    downloads and compared with exact arithmetic on what the configuration says. MODEL_OR_CONFIG is a config.json, a
    folder that has one, or a folder of *.json. v5 is how transformers 5 saves a model. Exit status 1 if one of them is
    wrong beyond rounding.
    """
    # What these libraries think of a configuration is part of the verdict; their log would stand in the table.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from tightrope.backends import audit as library
    from tightrope.rope.reading.validating import find_sources

    shown_on = console(stderr=json_file == "-")
    found = list(find_sources(sources))
    audits = [
        library.audit(source, against, name=name_of(str(source)), spelling=spelling)
        for _, source in with_progress(found, "auditing", shown_on)
    ]
    if len(audits) == 1:
        library.print_audit(shown_on, audits[0])
    else:
        library.print_list(shown_on, audits)
    if json_file:
        write(json_file, as_json([one.to_dict() for one in audits]))
    ctx.exit(1 if any(one.wrong for one in audits) else 0)
