"""A chain of steps carried out patch by patch of its result, after MCUNetV2 (arXiv 2110.15352)."""
