"""GREATER, LESS, EQUAL and the like: of two sources with scales of their own, to 0 and 1; and of two of float32."""
