"""Component-aware pruning of robot control policies, from torch to the board and back into the loop."""

__version__ = "0.1.0"
