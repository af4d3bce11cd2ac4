"""Small files and configurations that tests read, and what writes them."""
