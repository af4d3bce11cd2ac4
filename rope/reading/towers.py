"""Which part of a model's configuration is its tower of pictures or sound, and which family of the table that is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tightrope.rope.reading.families import family_name, find_family
from tightrope.rope.reading.families_towers import TOWERS
from tightrope.rope.reading.sheet import Sheet, shortened

Tower = Literal["vision", "audio"]


@dataclass(frozen=True)
class Place:
    """Where files keep a tower, and how the tower's model_type differs from the model's.

    Attributes:
        keys: The keys of the part, outermost first.
        suffixes: What the model's name is extended by: files often repeat the model's in the part, or give none.
    """

    keys: tuple[str, ...]
    suffixes: tuple[str, ...]


PLACES: Mapping[str, Place] = {
    "vision": Place(
        ("thinker_config", "vlm_config", "vision_config", "backbone_config"),
        ("_vision", "_vision_encoder", "_vision_model"),
    ),
    "audio": Place(("thinker_config", "audio_config", "encoder_config"), ("_audio", "_audio_encoder", "_encoder")),
}


def tower_part(sheet: Sheet, tower: Tower) -> Sheet | None:
    """Return the configuration of a model's tower, under a model_type that the family table has.

    None, and a problem, where there is no such tower, or none with rotary positions that is known.
    """
    if tower not in PLACES:
        sheet.findings.problem(f"tower must be one of {', '.join(map(repr, PLACES))}, got {tower!r}")
        return None
    place, path = PLACES[tower], [sheet]
    while (inner := _inner(path[-1], place)) is not None:
        path.append(inner)
    names = [name for part in reversed(path) if isinstance(name := part.values.get("model_type"), str)]
    for name in _candidates(names, place):
        if family_name(name) in TOWERS:
            return replace(path[-1], values={**path[-1].values, "model_type": name})
    own = path[-1].values.get("model_type")
    if isinstance(own, str) and own != sheet.values.get("model_type") and find_family(own) is not None:
        return path[-1]
    found = f"{path[-1].where('model_type')} {shortened(own)}"
    if len(path) > 1:
        sheet.findings.problem(f"{found} is no {tower} tower with rotary positions that is known")
    else:
        sheet.findings.problem(f"no {tower} tower: {found} is none, and it has none of {', '.join(place.keys)}")
    return None


def bare_tower(sheet: Sheet) -> Sheet | None:
    """Return the configuration under the tower's own name where it is a vision_config that bears the model's name."""
    values, name = sheet.values, sheet.values.get("model_type")
    if not isinstance(name, str) or values.get("patch_size") is None or values.get("vocab_size") is not None:
        return None
    if _inner(sheet, PLACES["vision"]) is not None or values.get("text_config") is not None:
        return None
    own = next((full for full in _candidates([name], PLACES["vision"])[1:] if family_name(full) in TOWERS), None)
    if own is None or family_name(name) in TOWERS:
        return None
    sheet.findings.note(f"a vision_config that bears its model's model_type {name!r}: read as {own!r}")
    return replace(sheet, values={**values, "model_type": own})


def _inner(sheet: Sheet, place: Place) -> Sheet | None:
    found = (sheet.inner(key) for key in place.keys if isinstance(sheet.values.get(key), Mapping))
    return next(found, None)


def _candidates(names: list[str], place: Place) -> list[str]:
    return [name + suffix for name in names for suffix in ("", *place.suffixes)]
