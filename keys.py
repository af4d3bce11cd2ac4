"""Cached keys that travel between programs and machines with a statement of their rotation."""

from tightrope.backends.moving import differences, move
from tightrope.rope.key_stream import Part, read_parts, read_record, write_stream
from tightrope.rope.keys import KeyRecord, record_of

__all__ = ["KeyRecord", "Part", "differences", "move", "read_parts", "read_record", "record_of", "write_stream"]
