"""The core: configurations, frequencies, phases and their reference. Standard library and numpy, nothing else."""
