"""RELU, LEAKY_RELU and QUANTIZE of integers: one multiplier for what is positive, one for what is negative."""
