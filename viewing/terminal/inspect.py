"""The facts of a configuration as a person reads them in a terminal."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tightrope.rope.config.model import ModelRope
from tightrope.viewing.curves import rope_in_words
from tightrope.viewing.facts import facts, layers_line

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Grid, Screen

_LONGEST_LIST = 4
_PROGRESSIONS = {
    "shared": "one progression over all pairs",
    "own": "a progression for each axis",
    "dealt": "one progression, dealt to the axes in turn",
}


def print_facts(console: "Screen", model: ModelRope, name: str) -> None:
    """Print ropes with their wavelengths, layers, factors and notes."""
    from tightrope.viewing.terminal.console import print_grid

    known = facts(model)
    console.say(f"{name} ({model.model_type or 'no model_type'})", "bold")
    for key, rope in known["ropes"].items():
        console.say(rope_in_words(model, key))
        console.say_all(*(f"  {line}" for line in _lines(rope)))
        print_grid(console, _wavelengths(rope))
    console.say_all(*_model_lines(known))


def _lines(rope: Mapping[str, Any]) -> Iterator[str]:
    if rope["parameters"]:
        yield ", ".join(f"{name} {_shortened(value)}" for name, value in rope["parameters"].items())
    if rope["max_position_embeddings"]:
        yield f"context {rope['max_position_embeddings']:,} tokens"
    if rope["side"] == "tail":
        yield "the last channels are rotated"
    if rope["direction"] == -1:
        yield "rotates in the opposite direction"
    if rope["mrope"]:
        axes = rope["mrope"]
        yield f"position axes: pairs {axes['sections']}, {axes['order']}, {_PROGRESSIONS[axes['progression']]}"
    if rope["fractional"]:
        yield "positions may be fractions"


def _shortened(value: object) -> str:
    if isinstance(value, list) and len(value) > _LONGEST_LIST:
        return f"[{', '.join(f'{item:g}' for item in value[:2])}, … {value[-1]:g}] ({len(value)})"
    return str(value)


def _wavelengths(rope: Mapping[str, Any]) -> "Grid":
    from tightrope.viewing.terminal.console import grid

    within = list(rope["tables"][0]["rotating_within"])
    rows = []
    for table in rope["tables"]:
        turning = [value for value in table["wavelengths"] if value is not None]
        ends = (f"{turning[0]:,.1f}", f"{max(turning):,.0f}") if turning else ("none", "none")
        pairs = len(table["wavelengths"])
        counts = (f"{table['rotating_within'][length]} of {pairs} pairs" for length in within)
        holds = table["holds"].removesuffix(" tokens")
        rows.append((f"  {holds}", *ends, f"{table['attention_factor']:.6g}", *counts))
    headings = ("shortest", "longest", "attention\nfactor", *(f"turn within\n{int(length):,}" for length in within))
    return grid(("  wavelengths\n  in tokens", *headings), rows)


def _model_lines(known: Mapping[str, Any]) -> Iterator[str]:
    if len(set(known["layers"])) > 1:
        yield f"layers: {layers_line(known['layers'])}"
    if not known["ropes"]:
        yield "no rotary positions"
    for key, scale in known["query_scales"].items():
        parameters = ", ".join(f"{name} {value}" for name, value in scale.items())
        yield f"attention temperature by position on layers {key}: {parameters}"
    for note in known["notes"]:
        yield f"note: {note}"
