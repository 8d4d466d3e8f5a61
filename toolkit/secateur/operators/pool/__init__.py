"""AVERAGE_POOL_2D and MAX_POOL_2D: four channels at a time."""
