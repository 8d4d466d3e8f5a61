"""Element-wise operators of float32, and conversions between float32 and integers."""
