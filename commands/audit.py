"""`tightrope audit`."""

from typing import Literal

import click

from tightrope.commands.common import examples, name_of
from tightrope.commands.output import Output, output_options


def _peer_names(ctx: click.Context, option: click.Parameter, value: str | None) -> list[str]:
    from tightrope.verify.audit import PEERS

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
@output_options
def audit(sources: tuple[str, ...], against: list[str], spelling: Literal["v4", "v5"] | None, out: Output) -> None:
    """Tell whether other libraries rotate a model right.

    The rope objects of transformers, mlx-lm and mlx-vlm, those that are installed, are built without weights or
    downloads and compared with exact arithmetic on what the configuration says. MODEL_OR_CONFIG is a config.json, a
    folder that has one, a folder of *.json, or - for standard input. v5 is how transformers 5 saves a model. Exit
    status 1 if one of them is wrong beyond rounding, or a configuration cannot be right.
    """
    from tightrope.rope.reading.validate import find_sources
    from tightrope.verify import audit as library
    from tightrope.viewing.terminal import audit as shown

    found = list(find_sources(sources))
    audits = [
        library.audit(source, against, name=name_of(source), spelling=spelling)
        for _, source in out.track(found, "auditing")
    ]
    if len(audits) == 1:
        shown.print_audit(out.console, audits[0])
    else:
        shown.print_list(out.console, audits)
    out.write_json([one.to_dict() for one in audits])
    wrong, unreadable = [one.name for one in audits if one.wrong], [one.name for one in audits if one.unreadable]
    failures = [f"a library rotates these otherwise than they say: {', '.join(wrong)}"] if wrong else []
    failures += [f"cannot be right: {', '.join(unreadable)}"] if unreadable else []
    out.finish(passed=not failures, failure="; ".join(failures))
