"""When two rotations are the same, and what of that travels with cached keys."""
