"""SQUARED_DIFFERENCE of sources with scales of their own."""
