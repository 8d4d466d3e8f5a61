"""RESHAPE and its kin: the same bytes under another shape. No step, no copy."""
