"""Hypothesis strategies for networks of fully connected layers."""

from hypothesis import strategies as st
from tflite_networks import Layer

TAILS = ("TANH", "LOGISTIC", "RELU", "LEAKY_RELU", "HARD_SWISH", "QUANTIZE")

layers = st.lists(
    st.builds(
        Layer,
        rows=st.integers(1, 70),
        per_channel=st.booleans(),
        bias=st.booleans(),
        activation=st.sampled_from((0, 0, 1, 1, 2, 3)),
        multiplier=st.one_of(st.floats(1e-4, 0.02), st.sampled_from((1e-9, 1e-6, 0.4, 0.9, 3.0, 50.0))),
        zero_point=st.one_of(st.just(-128), st.integers(-128, 127)),
        tail=st.lists(st.sampled_from(TAILS), max_size=2).map(tuple),
        largest_bias=st.sampled_from((0, 3000, 1 << 20, 1 << 30)),
        reshape=st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
columns = st.integers(1, 70)
seeds = st.integers(0, 2**31)
zero_points = st.integers(-128, 127)
