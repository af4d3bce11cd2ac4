"""Small named rules that lines of the family table are made of."""
