"""Values as JSON can hold them."""

import math
from typing import Any


def json_values(value: Any) -> Any:
    """Return a value with null for infinities and NaN, which JSON lacks, however deep they lie."""
    if isinstance(value, dict):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
