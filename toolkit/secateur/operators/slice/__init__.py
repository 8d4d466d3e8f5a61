"""SLICE and STRIDED_SLICE: a move, or another name for the same bytes."""
