"""`tightrope audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tightrope.commands.shared.common import Source, examples, name_of, sources_argument
from tightrope.commands.shared.failures import in_a_line
from tightrope.commands.shared.output import Output, file_option, output_options, write
from tightrope.rope.errors import BackendUnavailable

if TYPE_CHECKING:
    from tightrope.verify.audit import Audit


def _peer_names(ctx: click.Context, option: click.Parameter, value: str | None) -> list[str]:
    from tightrope.verify.audit import PEERS

    wanted = [one.strip() for one in value.split(",")] if value else []
    for one in wanted:
        if one not in PEERS:
            raise click.BadParameter(f"{one!r} is none of {', '.join(PEERS)}")
    return wanted


@click.command(
    short_help="Check whether other libraries rotate a model right.",
    epilog=examples(
        "tightrope audit path/to/model",
        "tightrope audit path/to/configs --against mlx-lm --spelling v5",
        "tightrope audit path/to/configs --matrix",
        "tightrope audit path/to/configs --matrix --with vllm.json -o table.md",
    ),
)
@sources_argument(required=False, metavar="MODEL_OR_CONFIG...")
@click.option(
    "--against",
    callback=_peer_names,
    metavar="NAMES",
    help="Such as transformers,mlx-lm; default: all installed.",
)
@click.option("--spelling", type=click.Choice(["v4", "v5"]), help="Convert to this spelling first.")
@click.option(
    "--context",
    type=click.IntRange(min=1),
    metavar="TOKENS",
    help="Context that llama.cpp and vLLM are set up for; default: the model's.",
)
@click.option(
    "--with",
    "others",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="What --json wrote in another environment, to show beside this.",
)
@click.option("--matrix", is_flag=True, help="Print models down and libraries across, and how many are right.")
@file_option(help="Also write models down and libraries across to FILE, in Markdown.")
@output_options
def audit(
    sources: tuple[Source, ...], against: list[str], spelling: Literal["v4", "v5"] | None, context: int | None,
    others: tuple[str, ...], matrix: bool, path: str | None, out: Output,
) -> None:  # fmt: skip
    """Check whether other libraries rotate a model as its configuration says.

    The rope objects of transformers, mlx-lm and mlx-vlm, the tables of vLLM and the graph of llama.cpp are built, where
    they are installed, without weights or downloads, and compared with exact arithmetic on the configuration.

    MODEL_OR_CONFIG is a config.json, a folder that has one, a folder of *.json, a GGUF file (compared with llama.cpp
    and with the config.json beside it), the name of a model on the Hugging Face hub, or - for standard input. Spelling
    v5 is how transformers 5 saves a model. Exit status 1 if a library is wrong beyond rounding or cannot be examined
    here, a configuration is invalid, or its audit fails.
    """
    from tightrope.rope.reading.validate import find_sources
    from tightrope.verify import audit as library
    from tightrope.viewing.terminal import audit as shown

    if not (sources or others):
        raise click.UsageError("name a configuration, or findings with --with")
    elsewhere = [one for path in others for one in library.read_findings(path)]
    found = list(find_sources(sources))
    audits = [_audited(source, against, spelling, context) for _, source in out.track(found, "auditing")]
    audits = library.joined(audits, elsewhere) if elsewhere else audits
    if matrix:
        shown.print_matrix(out.console, audits)
    elif len(audits) == 1:
        shown.print_audit(out.console, audits[0])
    else:
        shown.print_list(out.console, audits)
    if path:
        write(path, shown.to_markdown(audits).encode())
        out.written(path)
    out.write_json([one.to_dict() for one in audits])
    wrong, unreadable = [one.name for one in audits if one.wrong], [one.name for one in audits if one.unreadable]
    failures = [f"rotated differently from the configuration: {', '.join(wrong)}"] if wrong else []
    failures += [f"invalid: {', '.join(unreadable)}"] if unreadable else []
    failed = [one.name for one in audits if one.failed]
    failures += [f"could not be audited: {', '.join(failed)}"] if failed else []
    unusable = sorted({peer.peer for one in audits for peer in one.peers if peer.status == "unusable"})
    failures += [f"cannot be examined here: {', '.join(unusable)}"] if unusable else []
    out.finish(passed=not failures, failure="; ".join(failures))


def _audited(
    source: Source | Path, against: list[str], spelling: Literal["v4", "v5"] | None, context: int | None
) -> "Audit":
    """Return the audit of one file of many: an error in it is its own, and the others are audited all the same."""
    from tightrope.verify import audit as library

    try:
        return library.audit(source, against, name=name_of(source), spelling=spelling, context=context)
    except BackendUnavailable:
        raise  # of all files, not of this one
    except Exception as error:
        return library.Audit(name_of(source), remark=f"the audit failed: {in_a_line(error)}", failed=True)
