"""What layers of int16 activations and int8 weights share: how their sums are scaled, and the words that say so."""

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Network
from secateur.operators.requantise import activation_range, multipliers, reduced_multiplier
from secateur.operators.stream import layer_data

KINDS = ("int8", "int32", "int64")
"""Types of weights, and of biases."""

LOWEST, HIGHEST = -(1 << 15), (1 << 15) - 1

_LARGEST_BIAS = 1 << 46
"""Sums are below 2⁴⁷, as the reference has it."""

MOST_LEFT = 7
"""Bits that the reference shifts sums of 64 bits to the left by, at most."""


def is_wide(network: Network, bias: int) -> bool:
    """True where the reference sums to 64 bits: with a bias of that type, or without one."""
    return bias == -1 or network.tensors[bias].dtype == "int64"


def layer_words(
    network: Network,
    label: str,
    tensors: tuple[int, int, int, int],
    rows: int,
    activation: int,
    single: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The words of requantise_16.h, and the weights.

    Args:
        network: with data.
        label: of the step, for errors.
        tensors: source, weights, bias (−1: none), target.
        rows: channels of the target.
        activation: fused, by the schema's number.
        single: see ``multipliers``.

    Returns:
        Of the layer: int64 [3]; of the rows: int64 [rows, 4]; weights, int64 in the network's shape. Rows that the
        reference multiplies by zero have a bias and weights of zero.

    Raises:
        SecateurError: the network has no data, or numbers that the reference does not take.
    """
    source, matrix, target = (network.tensors[tensors[index]] for index in (0, 1, 3))
    numbers, bias = layer_data(network, label, tensors, rows)
    assert source.quantization is not None
    assert matrix.quantization is not None
    assert target.quantization is not None
    multiplier, shift = multipliers(
        source.quantization, matrix.quantization, target.quantization, rows, single
    )
    values, wide = bias.astype(np.int64), is_wide(network, tensors[2])
    if wide and (np.abs(values).max() >= _LARGEST_BIAS or shift.max() > MOST_LEFT):
        raise SecateurError(
            "a layer of int16 activations has biases below 2⁴⁶ and scales sums up by less than 2⁷",
            f"{label} has a bias of {np.abs(values).max()} and scales by up to 2^{shift.max()}",
            "Calibrate the model again: the range of an output is next to nothing.",
        )
    nothing = multiplier == 0
    values = np.where(nothing, 0, values)
    axis = matrix.quantization.axis if len(matrix.quantization.scales) > 1 else 0
    zeroed = nothing if len(matrix.quantization.scales) > 1 else nothing[:1]
    shape = [-1 if place == axis else 1 for place in range(len(matrix.shape))]
    weights = np.where(zeroed.reshape(shape), 0, numbers.astype(np.int64))
    if wide:
        scales = np.array([reduced_multiplier(int(each)) for each in multiplier], np.int64)
        shifts = 15 - shift
    else:
        scales = np.where(nothing, 1 << 31, 2 * multiplier)
        shifts = np.where(nothing, 0, np.maximum(-shift, 0) | np.maximum(shift, 0) << 8)
    low, high = activation_range(activation, target.quantization, LOWEST, HIGHEST)
    words = np.stack([values, values >> 32, scales, shifts], axis=1)
    return np.array([int(wide), low, high], np.int64), words, weights
