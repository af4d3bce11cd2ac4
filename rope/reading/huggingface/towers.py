"""Which part of a model's configuration is its vision or audio tower, and which family of the table that is."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from tightrope.rope.reading.families.lookup import family_name, find_family
from tightrope.rope.reading.families.towers import TOWERS
from tightrope.rope.reading.section import Section, present, shortened
from tightrope.rope.support.validation import one_of, require

Tower = Literal["vision", "audio"]


# Where files keep a tower, outermost first.
PLACES: Mapping[str, tuple[str, ...]] = {
    "vision": (
        "thinker_config",
        "vlm_config",
        "detector_config",
        "vision_config",
        "video_config",
        "backbone_config",
        "encoder_config",
    ),
    "audio": (
        "thinker_config",
        "audio_video_config",
        "audio_config",
        "asr_config",
        "audio_encoder_config",
        "codec_config",
        "encoder_config",
    ),
}

# Files of vision models repeat the model's model_type in the part, or give none: the tower's is longer by one of these.
SUFFIXES = ("_vision", "_vision_encoder", "_vision_model")


def tower_part(section: Section, tower: Tower) -> Section | None:
    """Return the configuration of a model's tower, under a model_type that the family table has.

    None, and a problem, where there is no such tower, or none with rotary positions that is known.
    """
    require(one_of("tower", tower, PLACES))
    path = [section]
    while (inner := _inner(path[-1], PLACES[tower])) is not None:
        path.append(inner)
    for part in reversed(path[1:] or path):
        if _is_tower(part.get("model_type")):
            return part
    named = (_under_own_name(path[-1], part.get("model_type")) for part in reversed(path))
    found = next(present(named), None) if tower == "vision" and len(path) > 1 else None
    if found is None and len(path) > 1 and _is_known(path[-1], section):
        return path[-1]
    if found is None:
        _report(path, tower)
    return found


def bare_tower(section: Section) -> Section | None:
    """Return the configuration under the tower's own name where it is a vision_config that bears the model's name."""
    values, name = section.values, section.get("model_type")
    if values.get("patch_size") is None or values.get("vocab_size") is not None or _is_tower(name):
        return None
    if _inner(section, PLACES["vision"]) is not None or values.get("text_config") is not None:
        return None
    found = _under_own_name(section, name)
    if found is not None:
        own = found.values["model_type"]
        section.findings.note(f"a vision_config that bears its model's model_type {name!r}: read as {own!r}")
    return found


def _inner(section: Section, keys: Iterable[str]) -> Section | None:
    return next((section.inner(key) for key in keys if isinstance(section.get(key), Mapping)), None)


def _is_tower(name: object) -> bool:
    return isinstance(name, str) and family_name(name) in TOWERS


def _is_known(part: Section, whole: Section) -> bool:
    """Return whether the part has its own family entry: then it has no rotary positions."""
    own = part.get("model_type")
    return isinstance(own, str) and own != whole.get("model_type") and find_family(own) is not None


def _under_own_name(section: Section, name: object) -> Section | None:
    own = next((f"{name}{suffix}" for suffix in SUFFIXES if _is_tower(f"{name}{suffix}")), None)
    return None if own is None else replace(section, values={**section.values, "model_type": own})


def _report(path: list[Section], tower: Tower) -> None:
    part = path[-1]
    found = f"{part.where('model_type')} {shortened(part.get('model_type'))}"
    if len(path) > 1:
        part.findings.problem(
            f"{found} is no {tower} tower with rotary positions that is known; give the model_type of one like it"
        )
    else:
        part.findings.problem(f"no {tower} tower: {found} is none, and it has none of {', '.join(PLACES[tower])}")
