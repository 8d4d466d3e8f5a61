"""CONCATENATION: a move for each source."""
