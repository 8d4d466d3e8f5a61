"""MUL of sources with scales of their own."""
