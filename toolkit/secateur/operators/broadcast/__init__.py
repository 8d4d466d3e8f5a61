"""BROADCAST_TO: a move that reads the same bytes again."""
