"""One thin command per module: parse, call a library function, print."""
