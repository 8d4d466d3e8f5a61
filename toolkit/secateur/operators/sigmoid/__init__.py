"""TANH and LOGISTIC of int16: a table of the logistic function, between whose entries is interpolated."""
