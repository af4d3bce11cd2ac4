"""What config.json does not say, family by family."""

from tightrope.rope.reading.families.lookup import family_name, find_family
from tightrope.rope.reading.families.unknown import UNKNOWN_FAMILY

__all__ = ["UNKNOWN_FAMILY", "family_name", "find_family"]
