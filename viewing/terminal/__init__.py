"""What commands print for a person, by rich."""
