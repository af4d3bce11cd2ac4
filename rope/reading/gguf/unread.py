"""Keys of a GGUF file that state a rotation and that llama.cpp does not read: said, never dropped in silence."""

import re
from typing import Final

from tightrope.rope.errors import shortened, suggestion
from tightrope.rope.reading.section import Section
from tightrope.rope.reading.statements import sounds_like_position

# What llama.cpp reads in one architecture or another.
KNOWN_KEYS: Final = frozenset(
    {
        "attention.compress_rope_freq_base",
        "attention.recurrent_layers",
        "attention.rope_pattern",
        "attention.temperature_length",
        "attention.temperature_scale",
        "full_attention_interval",
        "rope.dimension_count",
        "rope.dimension_count_swa",
        "rope.dimension_sections",
        "rope.freq_base",
        "rope.freq_base_swa",
        "rope.scale_linear",
        "rope.scaling.alpha",
        "rope.scaling.attn_factor",
        "rope.scaling.factor",
        "rope.scaling.finetuned",
        "rope.scaling.original_context_length",
        "rope.scaling.type",
        "rope.scaling.yarn_attn_factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_log_multiplier",
    }
)
_SOUNDS: Final = re.compile(
    r"^rope[._]|^full_attention_interval$|^attention\.recurrent_layers$"
    r"|^attention\..*(rope|rotary|temperature|nope|position|freq|scaling_beta|yarn|mscale)"
)
# What says "nothing" in these keys.
_NEUTRAL: Final[dict[str, tuple[object, ...]]] = {
    "attention.temperature_scale": (0,),
    "rope.scale_linear": (0, 1),
    "rope.scaling.alpha": (0, 1),
    "rope.scaling.attn_factor": (0, 1),
    "rope.scaling.factor": (0, 1),
    "rope.scaling.type": ("none",),
    "rope.scaling.yarn_attn_factor": (0, 1),
    "rope.scaling.yarn_beta_fast": (32,),
    "rope.scaling.yarn_beta_slow": (1,),
    "rope.scaling.yarn_log_multiplier": (0,),
}
# Of no effect where nothing is scaled, and written by converters all the same.
_BESIDE_SCALING: Final = (
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
)

# More are counted, not listed.
_MOST_LISTED: Final = 20


def unread_keys(section: Section) -> list[str]:
    """Return a sentence for each key that sounds like position and that no reader took a value from."""
    keys = [key for key in section.values if _sounds_like_position(key) and not section.is_consumed(key)]
    found = [_said(section, key) for key in keys if not _is_neutral(section, key)]
    if len(found) > _MOST_LISTED:
        found[_MOST_LISTED:] = [f"{len(found) - _MOST_LISTED} more keys that sound like position are not read"]
    return found


def _sounds_like_position(key: str) -> bool:
    named = any(map(sounds_like_position, key.split("."))) and not key.startswith("attention.value_length")
    return named or _SOUNDS.search(key) is not None


def _is_neutral(section: Section, key: str) -> bool:
    if key in _BESIDE_SCALING and section.values.get("rope.scaling.factor") in (None, 0, 1):
        return True
    return section.values[key] in _NEUTRAL.get(key, ())


def _said(section: Section, key: str) -> str:
    hint = " by llama.cpp in this architecture" if key in KNOWN_KEYS else suggestion(key, KNOWN_KEYS)
    return f"{shortened(section.where(key), plain=True)} ({shortened(section.values[key])}) is not read{hint}"
