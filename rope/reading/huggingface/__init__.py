"""A config.json of any spelling to one `ModelRope`."""
