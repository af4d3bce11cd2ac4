"""The Triton, CUDA and Metal texts, compiled and run on the CPU."""
