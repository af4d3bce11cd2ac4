"""What audits are tried on: configurations, peers that are wrong in one known way, what is known of mlx-lm."""
