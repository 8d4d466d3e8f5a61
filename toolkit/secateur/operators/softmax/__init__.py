"""SOFTMAX over the last axis, with a table of exponentials."""
