"""Cached keys that travel between programs and machines with a statement of their rotation."""

from tightrope.backends.moving import differences, move
from tightrope.rope.identity.key_record import KeyRecord, record_of
from tightrope.rope.identity.key_stream import Part, read_parts, read_record, write_stream

__all__ = ["KeyRecord", "Part", "differences", "move", "read_parts", "read_record", "record_of", "write_stream"]
