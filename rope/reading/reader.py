"""Any file or configuration that says how a model rotates, to one `ModelRope`."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any, Protocol, TypeAlias

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, RopeWarning
from tightrope.rope.reading.gguf.model import read_gguf
from tightrope.rope.reading.huggingface.model import read_section, text_parts
from tightrope.rope.reading.huggingface.params_json import in_usual_words, is_native
from tightrope.rope.reading.huggingface.towers import Tower, bare_tower, tower_part
from tightrope.rope.reading.section import Findings, Section
from tightrope.rope.reading.source import gguf_path, load
from tightrope.rope.reading.unread import note_unread
from tightrope.rope.support.called import told_in_words
from tightrope.rope.support.validation import one_of, require


class HasDict(Protocol):
    """A configuration object, such as transformers'."""

    def to_dict(self) -> dict[str, Any]:
        """Return its keys."""


ModelSource: TypeAlias = ModelRope | RopeConfig | Mapping[str, Any] | str | PathLike[str] | HasDict
"""What says how a model rotates."""


@told_in_words
def read(source: object, strict: bool = False, *, tower: Tower | None = None) -> ModelRope:
    """Return the ropes of a model, layer by layer.

    Args:
        source: The path of a config.json or of its folder, a configuration as a dict, or a transformers configuration.
            Both spellings are read: rope_theta with rope_scaling, and rope_parameters, flat or per layer type; also
            the params.json of Meta's and Mistral's own checkpoints, a GGUF file (`.gguf`), and `"org/name"`: a model
            on the Hugging Face hub, where there is no such path (with the extra `hub`).
        strict: Raise for an unknown model_type, for unknown keys in a rope block and for keys that sound like position
            and that no reader asked for, instead of warning and noting.
        tower: Read the model's vision tower (`"vision"`) or of sound (`"audio"`), not the language model. A
            tower's own configuration needs no such word.

    Raises:
        RopeConfigError: with every problem of the configuration, each with its key path, value and remedy.

    Warns:
        RopeWarning: A rope block has a key that no rope type knows; in an unknown family: a key that sounds like
            position is not read.
    """
    require(one_of("strict", strict, (True, False)))
    gguf = gguf_path(source)
    if gguf is not None and tower is None:
        return read_gguf(gguf, strict)
    if gguf is not None:
        raise RopeConfigError("tower needs a config.json; a GGUF file is read for its text", source=str(gguf))
    config, name = load(source)
    return _read(config, Findings(), name, strict, tower)


def read_own(config: Mapping[str, Any]) -> ModelRope:
    """As `read`, for code that applies the rotation itself: a guess about its family is a note, no warning."""
    return _read(load(config)[0], Findings(own=True), None)


def _read(
    config: Mapping[str, Any], findings: Findings, name: str | None, strict: bool = False, tower: Tower | None = None
) -> ModelRope:
    parts = _parts(Section(config, findings), tower)
    model = read_section(parts[-1], strict) if parts else None
    if parts:
        note_unread(parts, model, findings)
    return _finished(model, findings, name, strict)


def model_from(source: object) -> ModelRope:
    """Return the ropes that a source means: a `ModelRope`, a `RopeConfig` alone, or anything that `read` takes."""
    if isinstance(source, RopeConfig):
        return ModelRope(ropes={"default": source}, layers=())
    return source if isinstance(source, ModelRope) else read(source)


def _finished(model: ModelRope | None, findings: Findings, name: str | None, strict: bool) -> ModelRope:
    """Return the model with its notes, or raise, or warn, as the findings ask for."""
    if strict or findings.problems:  # what is missing may be there under a misspelt name
        findings.problems.extend([*findings.unknown, *findings.unread])
    if findings.problems or model is None:
        raise RopeConfigError(dict.fromkeys(findings.problems), source=name)
    for text in findings.warnings:
        warnings.warn(f"{name}: {text}" if name else text, RopeWarning, stacklevel=4)
    return replace(model, guessed=findings.guessed, notes=(*findings.notes, *findings.unknown, *findings.unread))


def _parts(section: Section, tower: Tower | None) -> list[Section]:
    """Return the configurations that lead to the part that is meant, in the usual words; none, and a problem, else."""
    if tower is not None:
        part = tower_part(section, tower)
        return [] if part is None else [part]
    if is_native(section.values):
        return [in_usual_words(section)]
    bare = bare_tower(section)
    return text_parts(section) if bare is None else [bare]
