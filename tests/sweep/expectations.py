"""What Tightrope does not support, with the reason: the tests fail for more, and for an entry that works by now."""

PATCHES = dict.fromkeys(("dinov3_vit", "eomt_dinov3", "gemma4", "sapiens2"), "fractions, or pairs within an axis")


def reason(family: str, content: str) -> str | None:
    """Return why the cases of a family, or its patches, are not supported; None where they should be."""
    return PATCHES.get(family) if content == "patches" else None
