"""FULLY_CONNECTED: int8 activations and weights, int32 sums."""
