"""The keys that say which layer has which rope, as the code of a family reads them."""

from collections.abc import Iterator
from itertools import product

from tightrope.rope.config.model import ModelRope
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.rules.layer_types import FULL, SLIDING, WITHOUT_ATTENTION
from tightrope.rope.reading.families.unknown import UNKNOWN_FAMILY
from tightrope.rope.reading.section import Findings, Section

# Rules that need a list of the layers that attend show both of their types with one.
_LISTED = {"full_attn_idxs": [0], "attn_layer_indices": [0]}


def layer_words(model: ModelRope, family: Family) -> Iterator[dict[str, object]]:
    """Yield keys that may say what the layers of a model are; the first that read back so are right.

    ModelRope holds no layer types: of a layer without position it does not say whether it attends.
    """
    if not model.layers or not model.ropes:
        yield {}
        return
    typed = family.layers is not None or list(model.ropes) != ["default"]
    if None not in model.layers and family.no_position is None:
        yield {"layer_types": _types(model, FULL, FULL)} if typed else {}
    if family.no_position is not None or None in model.layers:
        listed: dict[str, object] = {"no_rope_layers": [int(key is not None) for key in model.layers]}
        yield {"layer_types": _types(model, FULL, FULL), **listed} if typed else listed
    yield {"cross_attention_layers": [index for index, key in enumerate(model.layers) if key is None]}
    yield {"layer_rope_theta": [0 if key is None else model.ropes[key].base for key in model.layers]}
    own = _own_types(family, len(model.layers))
    silent = [kind for kind in own if kind in WITHOUT_ATTENTION or family.no_position or kind in family.ropes]
    for rotating, without in product((*own, FULL, SLIDING), silent):
        yield {"layer_types": _types(model, rotating, without)}


def _types(model: ModelRope, rotating: str, without: str) -> list[str]:
    return [without if key is None else rotating if key == "default" else key for key in model.layers]


def _own_types(family: Family, count: int) -> list[str]:
    """Return the layer types that the code of a family knows, those of its own pattern first."""
    pattern = [] if family.layers is None else family.layers(Section(_LISTED, Findings()), count)
    without_rope = [kind for kind, rope in family.ropes.items() if rope is None]
    window = [FULL, SLIDING] if family.no_position not in (None, UNKNOWN_FAMILY.no_position) else []
    return list(dict.fromkeys([*pattern, *without_rope, *window]))
