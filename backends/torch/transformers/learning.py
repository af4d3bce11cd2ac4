"""A family as transformers' code shows it: its default model, built without values, seen rotating.

layout, side, direction    what the apply function that attention calls does to random numbers
width, axes                what the rotary module gives
base, blocks, layers       what the configuration class fills in
layers without position    those whose attention calls no apply function when the model runs on tensors without values
"""

import types
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import torch

from tightrope.backends.torch.transformers.apply import Meaning, meaning_of
from tightrope.backends.torch.transformers.forward import apply_functions, rebound
from tightrope.backends.torch.transformers.network import (
    attention_modules,
    build_network,
    rotary_modules,
    with_values,
)
from tightrope.backends.torch.transformers.probe import form_of
from tightrope.backends.torch.transformers.rotary import Form, table_of
from tightrope.rope.config.mrope import ORDERS, MRope
from tightrope.rope.reading.families.family import Family, LayerRope
from tightrope.rope.reading.families.learned import Learned
from tightrope.rope.reading.families.rules.layer_types import WITHOUT_ATTENTION, cycle
from tightrope.rope.reading.families.rules.no_position import only

# The one key by which configuration classes choose between apply functions.
_LAYOUT_KEY = "rope_interleave"
_SHAPE = ("hidden_size", "num_attention_heads", "num_hidden_layers", "max_position_embeddings")

_Columns = dict[str, tuple[Any, str]]
"""Value and text of each column of `Family`."""


class _NotUnderstood(Exception):  # noqa: N818  # no error: the family stays unknown
    """The code does something that the columns of `Family` cannot say, or that was not seen."""


def learn(model_type: str) -> Learned | None:
    """Return the family of a model_type; None where transformers does not know it or its code is not understood."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        return None
    try:
        columns = _columns(AutoConfig.for_model(model_type).get_text_config(decoder=True))
    except Exception:  # what a library raises on its own defaults leaves the family unknown
        return None
    family = Family(**{name: value for name, (value, _) in columns.items()})
    told = {name: text for name, (_, text) in columns.items() if name != "shape"}
    return Learned(family=family, source=f"transformers {metadata.version('transformers')}", columns=told)


def _columns(text: Any) -> _Columns:
    network = build_network(text)
    rotary = [] if network is None else rotary_modules(network, text)
    if network is None or len(rotary) != 1:
        raise _NotUnderstood
    module = with_values(rotary[0])
    blocks = _blocks(text)
    form, pairs = _form(module, next(iter(blocks)))
    calls = _calls(network)
    meanings = {meaning_of(function, form) for functions in calls.values() for function in functions}
    meaning = meanings.pop() if len(meanings) == 1 else None
    if meaning is None:
        raise _NotUnderstood
    columns = _rotation(meaning, text) | _widths(text, attention_modules(network)[0], pairs)
    columns |= _axes(module, blocks, pairs) | _ropes(blocks) | _layers(text, set(calls))
    shape = tuple(getattr(text, name, None) for name in _SHAPE)
    return {**columns, "shape": (shape, repr(shape))}


def _blocks(text: Any) -> dict[str | None, dict[str, Any] | None]:
    """Return the rope parameters by layer type, under None where there is one block."""
    stated = text.rope_parameters
    if any(isinstance(value, dict) or value is None for value in stated.values()):
        return dict(stated)
    return {None: stated}


def _form(module: Any, key: str | None) -> tuple[Form, int]:
    output = module(torch.zeros(1), torch.arange(1, 9)[None], *([] if key is None else [key]))
    form = form_of(output)
    if form is None:
        raise _NotUnderstood
    return form, table_of(form, output).pairs


def _calls(network: torch.nn.Module) -> dict[int, list[Any]]:
    """Return the apply functions that each layer calls, as seen when the model runs without values."""
    called: dict[int, list[Any]] = {}
    for module in attention_modules(network):
        layer = module.layer_idx
        seen = {
            name: _recorder(function, called, layer) for name, function in apply_functions(type(module).forward).items()
        }
        method = rebound(type(module).forward, seen)
        if method is None:
            raise _NotUnderstood
        module.forward = types.MethodType(method, module)
    _run(network)
    return called


def _run(network: torch.nn.Module) -> None:
    """Run a model on tensors without values; with positions and a mask of its own it computes none by their values."""
    tokens = torch.ones(1, 4, dtype=torch.long, device="meta")
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool, device="meta")
    # bfloat16: the grouped products of experts have no other dtype there.
    network.eval().bfloat16()(tokens, position_ids=tokens, attention_mask=mask, use_cache=False)


def _recorder(function: Any, called: dict[int, list[Any]], layer: int) -> Any:
    def record(*args: Any, **kwargs: Any) -> Any:
        called.setdefault(layer, []).append(function)
        return function(*args, **kwargs)

    return record


def _rotation(meaning: Meaning, text: Any) -> _Columns:
    columns: _Columns = {}
    if isinstance(getattr(text, _LAYOUT_KEY, None), bool):
        columns["layout_key"] = _LAYOUT_KEY, f'"{_LAYOUT_KEY}"'
    if meaning.layout != "half":
        columns["layout"] = meaning.layout, f'"{meaning.layout}"'
    if meaning.transpose:
        columns["direction"] = -1, "-1"
    return columns


def _widths(text: Any, attention: Any, pairs: int) -> _Columns:
    nope, rope = (getattr(text, name, None) for name in ("qk_nope_head_dim", "qk_rope_head_dim"))
    if isinstance(nope, int) and isinstance(rope, int):
        if rope != 2 * pairs:
            raise _NotUnderstood
        return {"mla": ((nope, rope), f"({nope}, {rope})")} | _softmax(text, attention)
    width = getattr(attention, "head_dim", None) or text.hidden_size // text.num_attention_heads
    columns: _Columns = {}
    if width * text.num_attention_heads != text.hidden_size or getattr(type(text), "head_dim", None):
        columns["head_dim"] = width, str(width)
    share = 2 * pairs / width
    if share != 1 or _heeds_share(text, pairs):
        columns["partial"] = share, f"{share:g}"
    return columns


def _softmax(text: Any, attention: Any) -> _Columns:
    """YaRN's mscale_all_dim multiplies the logits where a deeper scaling changes the factor of attention."""
    block = {"rope_type": "yarn", "factor": 4.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 64}
    config = type(text)(rope_parameters={**text.rope_parameters, **block})
    network = build_network(config)
    scaled = None if network is None else attention_modules(network)[0].scaling
    return {"softmax": (True, "True")} if scaled != attention.scaling else {}


def _heeds_share(text: Any, pairs: int) -> bool:
    """Return whether the rotary module of this family rotates less where the configuration says so."""
    network = build_network(type(text)(partial_rotary_factor=0.5))
    if network is None:
        return False
    module = with_values(rotary_modules(network, text)[0])
    return _form(module, next(iter(_blocks(text))))[1] != pairs


def _axes(module: Any, blocks: dict[str | None, dict[str, Any] | None], pairs: int) -> _Columns:
    """Return the order of several position axes, by which axis rotates which pair."""
    block = next((block for block in blocks.values() if block), {})
    sections = block.get("mrope_section") or getattr(module, "mrope_section", None)
    if not sections:
        return {}
    seen = [_axis_pairs(module, next(iter(blocks)), axis, len(sections)) for axis in range(len(sections))]
    for order in ORDERS:
        axes = MRope(sections=tuple(sections), order=order).pair_axes(pairs)
        if all({pair for pair in range(pairs) if axes[pair] == axis} == found for axis, found in enumerate(seen)):
            return {"mrope": (order, f'"{order}"'), "sections": (tuple(sections), repr(tuple(sections)))}
    raise _NotUnderstood


def _axis_pairs(module: Any, key: str | None, axis: int, count: int) -> set[int]:
    positions = torch.zeros(count, 1, 4, dtype=torch.long)
    positions[axis] = 1
    output = module(torch.zeros(1), positions, *([] if key is None else [key]))
    form = form_of(output)
    sin = table_of(form, output).sin if form else torch.zeros(1)
    return set(sin[0, 0].nonzero().flatten().tolist())


def _ropes(blocks: dict[str | None, dict[str, Any] | None]) -> _Columns:
    if None in blocks:
        base, rest = _block(
            {key: value for key, value in (blocks[None] or {}).items() if key != "partial_rotary_factor"}
        )
        found: _Columns = {"base": (base, f"{base:.15g}")} if base != 10_000 else {}
        return found | ({"block": (rest, repr(rest))} if rest else {})
    ropes, texts = {}, []
    for key, block in blocks.items():
        base, rest = _block(block or {})
        ropes[str(key)] = LayerRope(base=base, block=rest) if block else None
        told = f"base={base:.15g}" + (f", block={rest}" if rest else "")
        texts.append(f'"{key}": ' + (f"LayerRope({told})" if block else "None"))
    return {"ropes": (ropes, f"{{{', '.join(texts)}}}")}


def _block(block: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Return the base of a block and what else it says of its scaling."""
    rest = {key: value for key, value in block.items() if key not in ("rope_theta", "mrope_section")}
    if rest.get("rope_type") == "default":
        del rest["rope_type"]
    return float(block["rope_theta"]), rest


def _layers(text: Any, rotating: set[int]) -> _Columns:
    """Return the types of the layers, and which of them have no position."""
    kinds = list(getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers)
    with_position = {kinds[layer] for layer in rotating}
    silent = {kinds[layer] for layer in set(range(len(kinds))) - rotating} - WITHOUT_ATTENTION
    if silent & with_position:
        raise _NotUnderstood
    pattern = tuple(_period(kinds))
    found: _Columns = {}
    if len(set(pattern)) > 1:
        found["layers"] = cycle(*pattern), f"rule.cycle({', '.join(map(repr, pattern))})"
    if silent:
        names = sorted(with_position)
        found["no_position"] = only(*names), f"nope.only({', '.join(map(repr, names))})"
    return found


def _period(kinds: list[str]) -> Iterator[str]:
    """Yield the shortest pattern that these types repeat."""
    length = next(n for n in range(1, len(kinds) + 1) if all(kind == kinds[i % n] for i, kind in enumerate(kinds)))
    yield from kinds[:length]
