"""PAD, where no convolution takes it in: a fill, then a move."""
