"""What Tightrope does not support, with the reason: the tests fail for more, and for an entry that works by now."""

PATCHES = "towers whose patches have rows and columns are refused: each axis has a progression of its own"
UNSUPPORTED = {
    "hunyuan_vl": "with sections, the two channels of a pair turn by different axes within pictures: no rotation",
}


def reason(family: str, content: str) -> str | None:
    """Return why the cases of a family, or its patches, are not supported; None where they should be."""
    return PATCHES if content == "patches" else UNSUPPORTED.get(family)
