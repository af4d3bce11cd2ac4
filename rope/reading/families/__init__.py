"""What config.json does not say, family by family."""

from tightrope.rope.reading.families.lookup import UNKNOWN_FAMILY, family_name, find_family

__all__ = ["UNKNOWN_FAMILY", "family_name", "find_family"]
