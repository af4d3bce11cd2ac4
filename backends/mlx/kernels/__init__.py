"""The kernels as MLX reaches them: Metal, CUDA."""
