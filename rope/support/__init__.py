"""Small helpers of the core: validation, optional packages, files."""
