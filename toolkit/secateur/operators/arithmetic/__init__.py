"""Sums, products and their kin of two sources of float32."""
