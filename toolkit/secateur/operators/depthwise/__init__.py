"""DEPTHWISE_CONV_2D: four channels at a time, their places looked up in a list of offsets."""
