"""GREATER, LESS, EQUAL and the like: of two sources with scales of their own, to bytes of 0 and 1."""
