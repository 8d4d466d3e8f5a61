"""The part of a fused activation that the saturation to int8 does not already do."""
