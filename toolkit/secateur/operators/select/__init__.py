"""SELECT_V2: values of one source or of another, by a third of 0 and 1."""
