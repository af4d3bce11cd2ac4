"""Keys as Ollama's own converter writes them, in the names that llama.cpp reads.

Source: llama/compat/llama-ollama-compat.cpp of github.com/ollama/ollama, which does the same before llama.cpp loads.
"""

from collections.abc import Mapping
from typing import Any, Final

from tightrope.rope.reading.section import Section

_NAMES: Final[dict[str, dict[str, str]]] = {
    "gemma3": {"rope.global.freq_base": "rope.freq_base", "rope.local.freq_base": "rope.freq_base_swa"},
    "laguna": {"rope.swa.freq_base": "rope.freq_base_swa", "rope.swa.dimension_count": "rope.dimension_count_swa"},
    "mistral3": {
        "rope.scaling.beta_fast": "rope.scaling.yarn_beta_fast",
        "rope.scaling.beta_slow": "rope.scaling.yarn_beta_slow",
        "rope.scaling.mscale_all_dim": "rope.scaling.yarn_log_multiplier",
        "rope.scaling_beta": "attention.temperature_scale",
    },
}
ARCHITECTURES: Final = {"gptoss": "gpt-oss"}

# Gemma 3 of 4B and more: its converter left out the scaling that extends 16k to this context.
_EXTENDED_CONTEXT: Final = 131_072
_EXTENSION: Final[Mapping[str, Any]] = {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}


def in_usual_names(architecture: str, section: Section) -> Section:
    """Return the keys in llama.cpp's names, with a note where Ollama's stood; both are recorded as read."""
    names = {old: new for old, new in _NAMES.get(architecture, {}).items() if old in section.values}
    if not names:
        return section
    section.consume(*names)
    section.findings.note(f"keys as Ollama writes them are read as llama.cpp's: {', '.join(sorted(names))}")
    values = {**{new: section.values[old] for old, new in names.items()}, **section.values}
    complete = _COMPLETIONS.get(architecture)
    if complete is not None:
        values = complete(values, section)
    return Section(values, section.findings, section.path)


def _gemma3(values: dict[str, Any], section: Section) -> dict[str, Any]:
    """Return Gemma 3's keys with what Ollama's converter left out."""
    context = values.get("context_length")
    extended = isinstance(context, int) and context >= _EXTENDED_CONTEXT and "rope.scaling.factor" not in values
    if extended:
        section.findings.note("Ollama's converter leaves out Gemma 3's scaling: linear, factor 8")
    return {"rope.freq_base": 1_000_000.0, **values, **(_EXTENSION if extended else {})}


# What the converter leaves out, by architecture.
_COMPLETIONS: Final = {"gemma3": _gemma3}
