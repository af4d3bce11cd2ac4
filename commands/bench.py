"""`tightrope bench`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from tightrope.commands.shared.common import (
    Source,
    backends_option,
    choose,
    examples,
    name_of,
    read_model,
    rope_option,
    source_argument,
)
from tightrope.commands.shared.output import Output, output_options, plot_option
from tightrope.rope.reference import DTYPES

if TYPE_CHECKING:
    from tightrope.verify.timing import Row
    from tightrope.verify.timing.jobs import Job

_TASKS = ("in place", "new tensors", "with gradient", "by position", "angles")


@dataclass(frozen=True)
class _Usual:
    """What is timed where an option does not say it."""

    dtypes: tuple[str, ...]
    lengths: tuple[int, ...]
    tasks: tuple[Any, ...]
    rounds: int


_FULL = _Usual(DTYPES, (8192, 512, 1), _TASKS, 15)
_QUICK = _Usual(("bfloat16",), (512, 1), ("in place", "new tensors"), 3)
_POSITIVE = click.IntRange(min=1)


@click.command(
    short_help="Time the rotation next to a copy and other libraries.",
    epilog=examples(
        "tightrope bench --quick",
        "tightrope bench --backends torch:cpu --task 'in place' --json bench.json",
        "tightrope bench --layout half --layout interleaved --order bhsd --order bshd",
        "tightrope bench path/to/config.json --plot bench.png",
    ),
)
@source_argument(required=False)
@backends_option
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), help="Dtype of q and k; may be repeated.")
@click.option("--seq", "lengths", multiple=True, type=_POSITIVE, help="Tokens; may be repeated.")
@click.option("--task", "tasks", multiple=True, type=click.Choice(_TASKS), help="What to time; may be repeated.")
@click.option(
    "--order",
    "orders",
    multiple=True,
    type=click.Choice(["bhsd", "bshd"]),
    help="Order of axes; may be repeated.",
)
@click.option(
    "--layout",
    "layouts",
    multiple=True,
    type=click.Choice(["half", "interleaved"]),
    help="Layout of pairs; may be repeated.",
)
@click.option("--rotary-dim", "rotary_dims", multiple=True, type=_POSITIVE, help="Channels to rotate; may be repeated.")
@click.option("--heads", type=_POSITIVE, default=32, show_default=True, help="Heads of q.")
@click.option("--kv-heads", type=_POSITIVE, default=8, show_default=True, help="Heads of k.")
@click.option("--rounds", type=_POSITIVE, help="Rounds of measurement.  [default: 15; with --quick 3]")
@click.option("--quick", is_flag=True, help="A first look: bfloat16, 512 tokens and 1, two tasks, 3 rounds.")
@click.option("--compiled", is_flag=True, help="Also time libraries under their framework's compiler.")
@click.option("--whole-model", is_flag=True, help="Time a small patched Llama against an unpatched one instead.")
@rope_option
@click.option("--layer-type", metavar="NAME", help="Which rope to time, and --rope to replace, if there are several.")
@plot_option("Draw bars into a .png, .svg or .pdf file.")
@output_options
def bench(
    source: Source | None, wanted: list[str], dtypes: tuple[str, ...], lengths: tuple[int, ...], tasks: tuple[Any, ...],
    orders: tuple[Any, ...], layouts: tuple[Any, ...], rotary_dims: tuple[int, ...], heads: int, kv_heads: int,
    rounds: int | None, quick: bool, compiled: bool, whole_model: bool, block: dict[str, Any] | None,
    layer_type: str | None, picture: str | None, out: Output,
) -> None:  # fmt: skip
    """Time the rotation next to a plain copy and the libraries that are installed.

    Tasks: "in place" and "new tensors" rotate q and k by given angles; "with gradient" adds the backward pass; "by
    position" computes the angles, too; "angles" computes angles alone. Calls are timed from Python, overhead included.

    Each round times every contender once. "median" and "range" are over the rounds; "× copy" is the time relative to
    copying the same tensors in the same round; "memory" is the peak beyond the arguments. What was measured before
    Ctrl-C is printed, and written with --json.

    SOURCE is a config.json, a folder that has one, a GGUF file, the name of a model on the Hugging Face hub, or - for
    standard input; default: Llama 3.
    """
    from tightrope import viewing
    from tightrope.verify import parity, timing

    usual = _QUICK if quick else _FULL
    if whole_model:
        _whole_models(out, rounds or usual.rounds)
        return
    subjects, _ = choose(out, wanted)
    jobs = timing.plan(
        read_model(source or parity.LLAMA_3, block, layer_type), [(one.backend.name, one.device) for one in subjects],
        dtypes=dtypes or usual.dtypes, lengths=lengths or usual.lengths, tasks=tasks or usual.tasks,
        orders=orders or ("bhsd",), layouts=layouts, rotary_dims=rotary_dims, heads=heads, kv_heads=kv_heads,
        layer_type=layer_type, compiled=compiled,
    )  # fmt: skip
    rows: list[timing.Row] = []
    try:
        _measure(out, jobs, rounds or usual.rounds, rows)
    finally:  # an interrupted run keeps what it has
        out.write_json(timing.as_dicts(rows))
    if picture:
        out.draw(lambda: viewing.draw_speed(rows, name_of(source) if source else "Llama 3"), picture)


def _whole_models(out: Output, rounds: int) -> None:
    """Time whole models, patched beside unpatched, and print a table."""
    from tightrope.verify import timing
    from tightrope.viewing.terminal.bench import print_whole_models

    with out.busy("timing whole models"):
        rows = timing.whole_models(rounds)
    if not rows:
        raise click.ClickException("neither transformers nor mlx-lm is installed")
    print_whole_models(out.console, rows)
    out.write_json([asdict(row) for row in rows])


def _measure(out: Output, jobs: "Sequence[Job]", rounds: int, rows: "list[Row]") -> None:
    """Time the jobs one after the other, print each as it is there, and add its rows."""
    from tightrope.verify import timing
    from tightrope.viewing.terminal.bench import print_rows

    number, seconds = len(jobs), timing.estimate(jobs, rounds)
    about = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"
    out.console.say(
        f"{number} measurement{'s' * (number != 1)} of {rounds} round{'s' * (rounds != 1)}, about {about}", "dim"
    )
    out.console.say(f"processor: {timing.processor()}", "dim")
    with _memory_errors():
        for job in out.track(jobs, "timing"):
            measured = timing.run(job, rounds)
            rows += measured
            print_rows(out.console, measured)
    out.console.say_all(*timing.absent(jobs))


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Make tensors that do not fit into memory one line and exit status 1."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # Frameworks have classes of their own or none, but all speak of running out of it or of allocating it.
        if not isinstance(error, MemoryError) and not re.search("out of memory|allocate", str(error), re.IGNORECASE):
            raise
        raise click.ClickException("there is not enough memory for these tensors; lower --seq or --heads") from error
