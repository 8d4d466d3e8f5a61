"""Any chain of element-wise operators between two int8 tensors is a function of one byte: a table of 256."""
