"""BATCH_MATMUL of two activations."""
