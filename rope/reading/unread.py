"""Keys that state a rotation and that no reader asked for: said, never dropped in silence."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise

from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import suggestion
from tightrope.rope.reading.section import Findings, Section, shortened
from tightrope.rope.reading.statements import KNOWN_KEYS, Statement, agrees, is_optional, sounds_like_position

# Inner objects that are no part of the language model: other models, what is done to weights, how text is generated.
_OTHER_PARTS = re.compile(
    r"vision|visual|vit|audio|video|image|speech|talker|wav|vae|codec|acoustic|semantic|encoder|decoder|tower|backbone"
    r"|detector|projector|adapter|lora|quant|compress|generation|draft|specul|task|prompt|mask|memory|mtp|(text|language|"
    r"llm|thinker|global)_config$|^rope_(scaling|parameters)$"
)
# How deep, and how many, inner objects are looked into.
_DEEPEST, _MOST_OBJECTS = 3, 500

# A message, written only where it is shown.
Text = Callable[[], str]

# More are counted, not listed.
_MOST_LISTED = 20


def note_unread(parts: Sequence[Section], model: ModelRope | None, findings: Findings) -> None:
    """Record each key, of the configuration read and of those around it, that sounds like position and was not read.

    Args:
        parts: The configurations that lead to the one that was read, which is the last.
        model: What was read; keys that agree with it are not reported. None where reading failed: then a key is
            reported only where it may be misspelt.
        findings: Where to record them.
    """
    unread = [*_beside(parts), *_within(parts[-1], model)]
    found = [text() for text in unread[:_MOST_LISTED]]
    if model is None:
        found = [text for text in found if "did you mean" in text]
    elif len(unread) > _MOST_LISTED:
        found.append(f"{len(unread) - _MOST_LISTED} more keys that sound like position are not read")
    for key in _nulls(parts[-1]):
        findings.note(f"{parts[-1].where(key)} is null: read as if it were missing")
    # Where nothing rotates, for a reason that is said, such keys have no effect.
    told = findings.notes if model is not None and not model.ropes else findings.unread
    told.extend(found)


def _nulls(section: Section) -> Iterator[str]:
    """Yield the keys whose null a reader passed over, but for those that files leave out so."""
    for key, value in section.values.items():
        if value is None and section.is_consumed(key) and sounds_like_position(key) and not is_optional(key):
            yield key


def _within(section: Section, model: ModelRope | None) -> Iterator[Text]:
    for part in (section, *islice(_inner_objects(section, _DEEPEST), _MOST_OBJECTS)):
        for key in _unread(part):
            if model is None or not agrees(Statement(key, part.values[key]), model):
                yield partial(_not_read, part, key)


def _not_read(section: Section, key: str) -> str:
    return f"{_said(section, key)} is not read{_hint(key)}"


def _hint(key: str) -> str:
    return "" if key in KNOWN_KEYS else suggestion(key, KNOWN_KEYS)


def _inner_objects(section: Section, depth: int) -> Iterator[Section]:
    """Yield the objects within a configuration, alone or in lists, that may say something of its attention."""
    for key, value in section.values.items():
        if _OTHER_PARTS.search(key.lower()):
            continue
        listed = isinstance(value, list | tuple)
        for index, item in enumerate(value) if listed else [(None, value)]:
            if not isinstance(item, Mapping) or "model_type" in item or not all(isinstance(k, str) for k in item):
                continue
            place = section.where(key) if index is None else f"{section.where(key)}[{index}]"
            inner = replace(section, values=item, path=f"{place}.")
            yield inner
            if depth > 1:
                yield from _inner_objects(inner, depth - 1)


def _beside(parts: Sequence[Section]) -> Iterator[Text]:
    """Yield the keys of outer configurations: what stands beside text_config has no effect on the language model."""
    for outer, inner in pairwise(parts):
        for key in _unread(outer):
            value = outer.values[key]
            if value is not None and parts[-1].values.get(key) is not value and parts[-1].values.get(key) != value:
                yield partial(_stands_beside, outer, key, inner)


def _stands_beside(outer: Section, key: str, inner: Section) -> str:
    return f"{_said(outer, key)} stands beside {inner.path[:-1]} and is not read"


def _unread(section: Section) -> Iterable[str]:
    return (key for key in section.values if not section.is_consumed(key) and sounds_like_position(key))


def _said(section: Section, key: str) -> str:
    return f"{shortened(section.where(key), plain=True)} ({shortened(section.values[key])})"
