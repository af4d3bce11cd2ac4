"""What transformers does with them."""
