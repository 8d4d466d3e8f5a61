"""RSQRT of int16, by the reference's steps of Newton's method."""
