"""How far cos and sin are off, by position."""
