"""The same configuration as files write it: today's spelling, that of transformers 4, and within its multimodal model.

transformers 4 wrote rope_theta, rope_scaling and partial_rotary_factor at the top.

Which top-level keys a configuration class still reads is found by giving it one and looking where the value lands. A
spelling counts only when the class reads it back as the same rope parameters.
"""

import copy
import inspect
import re
from functools import cache

from sweep.subjects.cases import Case
from sweep.theirs.driving import attribute, nested_keys

POPPED = re.compile(r"""kwargs\.(?:pop|get)\(\s*["'](\w+)["']""")
LAYERS = "num_hidden_layers"
USUAL = ("rope_theta", "partial_rotary_factor")
PROBE = 0.375  # a value that no default has; exact in binary, so that a quotient finds its way back


def spellings(case: Case) -> dict[str, dict]:
    """Return the spellings of a case's configuration, by name; of a published file, the file."""
    if case.file is not None:
        return {"as published": case.file}
    found = {"rope_parameters": case.config.to_dict(), "rope_theta": legacy(case.config)}
    if case.variant == "default":
        found["within its model"] = within(case.config)
    return {name: values for name, values in found.items() if values is not None}


def without_lists(config) -> dict:
    """Return the configuration without the lists of one entry a layer that its class makes by itself."""
    values = config.to_dict()
    lists = [key for key, value in values.items() if isinstance(value, list) and len(value) == values.get(LAYERS)]
    for key in lists:
        shorter = {name: value for name, value in values.items() if name != key}
        if _makes(type(config), shorter, key, values[key]):
            values = shorter
    return values


def _makes(cls: type, values: dict, key: str, made: list) -> bool:
    try:
        return cls.from_dict(copy.deepcopy(values)).to_dict().get(key) == made
    except Exception:  # then the class needs the list
        return False


def within(config) -> dict | None:
    """Return the configuration of a model whose text part this is, None where there is no such model.

    It is what save_pretrained writes: values of the text part that equal its class's defaults are left out.
    """
    for cls in _composites(type(config)):
        for key, part in cls.sub_configs.items():
            if part is type(config):
                return cls(**{key: config.to_dict()}).to_diff_dict()
    return None


@cache
def _composites(part: type) -> list[type]:
    """Return the configuration classes of the family whose text part is of this class."""
    module = inspect.getmodule(part)
    classes = [cls for cls in vars(module).values() if inspect.isclass(cls) and attribute(cls, "sub_configs")]
    return [cls for cls in classes if cls is not part and _is_text_part(cls, part)]


def _is_text_part(cls: type, part: type) -> bool:
    try:
        return type(cls().get_text_config(decoder=True)) is part
    except Exception:  # a class without defaults shows nothing
        return False


def legacy(config) -> dict | None:
    """Return the configuration in the old spelling, None where its class reads none back as the same."""
    blocks = attribute(config, "rope_parameters")
    if not isinstance(blocks, dict) or not blocks:
        return None
    by_key = {key: blocks[key] or {} for key in nested_keys(config)} or {None: blocks}
    values = {key: value for key, value in config.to_dict().items() if key != "rope_parameters"} | _at_top(
        config, by_key
    )
    candidates = ({**values, "rope_scaling": scaling} for scaling in _scalings(by_key))
    return next((spelled for spelled in candidates if _reads_back(config, spelled)), None)


def _at_top(config, by_key: dict[str | None, dict]) -> dict:
    """Return the parameters that the old spelling keeps beside rope_scaling."""
    tops = {(None, name): name for name in USUAL} | landing(type(config))
    return {top: by_key[key][name] for (key, name), top in tops.items() if name in by_key.get(key, {})}


def _scalings(by_key: dict[str | None, dict]) -> list[dict | None]:
    """Return what rope_scaling may have been: nothing where nothing is scaled, else the rest of one of the blocks."""
    found = []
    for block in by_key.values():
        rest = {key: copy.deepcopy(value) for key, value in block.items() if key not in (*USUAL, "rope_type", "type")}
        found.append({"type": block.get("rope_type", "default"), **rest})
    plain = all(scaling == {"type": "default"} for scaling in found)
    return [None, *found] if plain else found


@cache
def landing(cls: type) -> dict[tuple[str | None, str], str]:
    """Return for (layer type or None, parameter) the top-level key that a configuration class takes it from."""
    found = {}
    for top in dict.fromkeys((*_popped(cls), *USUAL)):
        try:
            config = cls.from_dict({top: PROBE})
        except Exception:  # the class does not take this key, or not this value
            continue
        blocks = attribute(config, "rope_parameters") or {}
        for key in nested_keys(config) or [None]:
            block = (blocks[key] if key else blocks) or {}
            found |= {(key, name): top for name, value in block.items() if value == PROBE and (key, name) not in found}
    return found


def _popped(cls: type) -> list[str]:
    hooks = [vars(base).get("convert_rope_params_to_dict") for base in cls.__mro__]
    return [name for hook in hooks if hook for name in POPPED.findall(inspect.getsource(hook))]


def _reads_back(config, values: dict) -> bool:
    try:
        again = type(config).from_dict(copy.deepcopy(values))
    except Exception:  # then there is no old spelling of it
        return False
    return _plain(attribute(again, "rope_parameters")) == _plain(config.rope_parameters)


def _plain(value):
    if not isinstance(value, dict):
        return value
    return {key: _plain(inner) for key, inner in value.items() if key != "type"}
