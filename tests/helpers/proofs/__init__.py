"""Tools that prove kernels right on a machine without their hardware."""
