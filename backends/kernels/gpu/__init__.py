"""The kernel text that Metal and CUDA share."""
