"""What to call instead of `RotaryEmbedding` in another library's words, such as RotaryEmbedding(dim=64, theta=1e4)."""

from collections.abc import Mapping
from typing import Any, Final

from tightrope.rope.errors import shortened

# In the words of PyTorch ports, transformers 4, mlx.nn.RoPE and vLLM.
_WIDTHS: Final = ("head_dim", "head_size", "dim", "dims", "rotary_dim")
_BASES: Final = ("base", "theta", "rope_theta")
_NEIGHBOURS: Final = {"traditional": True, "interleaved": True, "interleave": True, "is_neox_style": False}


def right_call(name: str, given: tuple[Any, Any, Any], misnamed: Mapping[str, Any]) -> str:
    """Return a message that says the right call.

    Args:
        name: Of the class.
        given: The first three arguments: elsewhere the width, what differs between libraries, and the base.
        misnamed: Keywords that the class does not have.
    """
    numbers = [value for value in given if isinstance(value, int | float)]
    got = ", ".join([*map(shortened, numbers), *(f"{key}=…" for key in misnamed)]) or "nothing"
    if given[0] is not None and not numbers:
        return f"{name} takes precision, policy and switch beside a model, got {got}; call {name}(model)"
    taken = f"{name} takes a model or a rope, got {got}"
    source = next((key for key, value in misnamed.items() if hasattr(value, "keys") or hasattr(value, "to_dict")), None)
    if source is not None:
        return f"{taken}; give it without a name: {name}({source})"
    return f"{taken}; for a plain rope call {name}(tightrope.RopeConfig({', '.join(_plain_rope(given, misnamed))}))"


def _plain_rope(given: tuple[Any, Any, Any], misnamed: Mapping[str, Any]) -> list[str]:
    """Return the arguments of the `RopeConfig` that is meant."""
    width = next((misnamed[key] for key in _WIDTHS if key in misnamed), given[0] or 128)
    width = int(width) if isinstance(width, float) and width.is_integer() else width
    stated = given[2] if isinstance(given[2], int | float) else 10_000.0
    base = next((misnamed[key] for key in _BASES if key in misnamed), stated)
    words = [f"head_dim={shortened(width)}", f"base={shortened(base)}"]
    if misnamed.get("rotary_dim", width) != width:
        words.append(f"rotary_dim={shortened(misnamed['rotary_dim'])}")
    if given[1] is True or any(misnamed.get(key) is value for key, value in _NEIGHBOURS.items()):
        words.append("layout='interleaved'")
    return words
