"""TRANSPOSE: a move, or another name for the same bytes."""
