"""SPLIT and SPLIT_V: a move for each part."""
