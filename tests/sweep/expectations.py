"""What Tightrope does not support, with the reason: the tests fail for more, and for an entry that works by now."""

PATCHES = {"gemma4": "pairs form within the channels of each axis"}


def reason(family: str, content: str) -> str | None:
    """Return why the cases of a family, or its patches, are not supported; None where they should be."""
    return PATCHES.get(family) if content == "patches" else None
