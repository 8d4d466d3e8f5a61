"""TFLM rounds twice; single rounding would differ, and these tests would see it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_runtime import run_reference
from tflite_networks import Writer

from secateur.errors import SecateurError
from secateur.network import Quantization
from secateur.operators.requantise import (
    activation_range,
    multipliers,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
)


def one_row(bias, weight_scale, output_scale):
    """The network ``int8(requantise(x + bias))`` of one input with scale 1 and zero point 0."""
    writer = Writer()
    rows = len(bias)
    source = writer.tensor("in", (1, 1), "int8", [1.0], [0])
    weights = writer.tensor("w", (rows, 1), "int8", [weight_scale] * rows, None, np.ones((rows, 1)))
    offset = writer.tensor("b", (rows,), "int32", [weight_scale] * rows, None, bias)
    result = writer.tensor("out", (1, rows), "int8", [output_scale], [0])
    writer.operator("FULLY_CONNECTED", [source, weights, offset], [result], "FullyConnectedOptions")
    return writer.finish([source], [result])


@given(st.floats(1e-6, 100.0), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_arithmetic_is_tflms(real, seed):
    scale, result = np.float32(real), np.float32(1.0)
    limit = max(2, min(2**23, int(140 / real)))
    bias = np.random.default_rng(seed).integers(-limit, limit, 128)
    bias[:4] = [round((0.5 + step) / real) for step in range(4)]
    bias[4:8] = -bias[:4]
    got = run_reference(one_row(bias, scale, result), np.zeros((1, 1), np.int8))[0]
    (multiplier, *_), (shift, *_) = multipliers(
        Quantization((1.0,), (0,)),
        Quantization((float(scale),) * 128, (0,) * 128),
        Quantization((1.0,), (0,)),
        128,
    )
    want = np.clip(
        multiply_by_quantized_multiplier(bias.astype(np.int32), int(multiplier), int(shift)), -128, 127
    )
    np.testing.assert_array_equal(got, want)


def test_two_roundings_are_seen():
    """Sums that two roundings carry up and one would not."""
    scale = np.float32(0.9 / 1024)
    multiplier, shift = quantize_multiplier(float(scale))
    values = np.arange(-(1 << 17), 1 << 17, dtype=np.int64)
    single = (values * multiplier + (1 << (30 - shift))) >> (31 - shift)
    double = multiply_by_quantized_multiplier(values.astype(np.int32), multiplier, shift)
    bias = values[(single != double) & (np.abs(double) < 127)]
    assert bias.size
    got = run_reference(one_row(bias, scale, 1.0), np.zeros((1, 1), np.int8))[0]
    np.testing.assert_array_equal(
        got, multiply_by_quantized_multiplier(bias.astype(np.int32), multiplier, shift)
    )


@given(st.floats(1e-12, 1e9))
def test_multiplier_is_normalised(real):
    multiplier, shift = quantize_multiplier(real)
    if multiplier:
        assert 1 << 30 <= multiplier < 1 << 31
        assert math.isclose(multiplier * 2.0 ** (shift - 31), real, rel_tol=1e-9)


def test_ranges_that_are_next_to_nothing_are_refused():
    one, nothing = Quantization((1.0,), (0,)), Quantization((1e-45,), (0,))
    with pytest.raises(SecateurError, match="output scale"):
        multipliers(one, one, nothing, 1)
    with pytest.raises(SecateurError, match="bounds"):
        activation_range(3, nothing)


def test_multiplier_of_next_to_nothing_is_nothing():
    assert quantize_multiplier(0.0) == quantize_multiplier(2.0**-40) == (0, 0)


@pytest.mark.parametrize(
    ("activation", "zero_point", "scale", "expected"),
    [
        (0, -5, 0.1, (-128, 127)),
        (1, -128, 0.1, (-128, 127)),
        (1, -5, 0.1, (-5, 127)),
        (3, -128, 6 / 255, (-128, 127)),
        (3, -128, 0.1, (-128, -68)),
        (2, 0, 0.1, (-10, 10)),
    ],
)
def test_activation_ranges(activation, zero_point, scale, expected):
    assert activation_range(activation, Quantization((scale,), (zero_point,))) == expected
