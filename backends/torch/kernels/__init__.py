"""The kernels as PyTorch reaches them: C on the CPU, Triton, Metal."""
