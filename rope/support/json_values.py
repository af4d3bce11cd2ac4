"""Values as JSON can hold them."""

import math
from typing import Any


def plain(value: Any) -> Any:
    """Return a value with null for infinities and NaN, which JSON lacks, however deep they lie."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
