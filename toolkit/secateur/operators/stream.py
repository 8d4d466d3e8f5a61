"""What convolutions share when their weights become a stream of words."""

from dataclasses import dataclass

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Network
from secateur.operators.requantise import multipliers
from secateur.operators.window import Window


@dataclass(frozen=True, eq=False)
class Layer:
    """The numbers of a layer with weights, before they are laid out.

    Attributes:
        weights: int64, in the network's shape.
        bias: int64 [rows], zero where there is none.
        multiplier: int64 [rows], as stored: 2·m − 2³² modulo 2³².
        shift: int64 [rows], to the left; negative to the right.
        nothing: bool [rows]: rows that the reference multiplies by zero. Their weights and biases are to be
            zero.
        source_zero_point, target_zero_point: of the activations.
    """

    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    nothing: np.ndarray
    source_zero_point: int
    target_zero_point: int


def layer_data(
    network: Network, label: str, tensors: tuple[int, int, int, int], rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias [rows] of a layer as the network has them; a bias of zero where there is none.

    Args:
        network: with data.
        label: of the step, for errors.
        tensors: source, weights, bias (−1: none), target.
        rows: channels of the target.

    Raises:
        SecateurError: the network has no data.
    """
    weights = network.tensors[tensors[1]].data
    bias = network.tensors[tensors[2]].data if tensors[2] != -1 else np.zeros(rows, np.int32)
    if weights is None or bias is None:
        raise SecateurError(
            "C is generated from weights", f"{label} has shapes only", "Read the network from a .tflite."
        )
    return weights, bias.reshape(rows)


def constants(
    network: Network, label: str, tensors: tuple[int, int, int, int], rows: int, single: bool
) -> Layer:
    """The numbers of a layer.

    Args:
        network: with data.
        label: of the step, for errors.
        tensors: source, weights, bias (−1: none), target.
        rows: channels of the target.
        single: see ``multipliers``.

    Raises:
        SecateurError: the network has no data.
    """
    source, matrix, target = (network.tensors[tensors[index]] for index in (0, 1, 3))
    weights, bias = layer_data(network, label, tensors, rows)
    assert source.quantization is not None
    assert matrix.quantization is not None
    assert target.quantization is not None
    multiplier, shift = multipliers(
        source.quantization, matrix.quantization, target.quantization, rows, single
    )
    nothing = multiplier == 0
    multiplier, shift = np.where(nothing, 1 << 30, multiplier), np.where(nothing, 0, shift)
    return Layer(
        weights.astype(np.int64),
        bias.astype(np.int64),
        2 * multiplier,
        shift,
        nothing,
        source.quantization.zero_points[0],
        target.quantization.zero_points[0],
    )


def words_of(values: np.ndarray) -> np.ndarray:
    """int8 [..., 4k] → int64 [..., k], the first byte lowest."""
    return np.ascontiguousarray(values).view("<u4").astype(np.int64)


def paired(weights: np.ndarray) -> np.ndarray:
    """Rows by twos, as the kernels read them: 256 · the weight of the even row + that of the odd one.

    Args:
        weights: integers from −127 to 127, [2n, 4k].

    Returns:
        int64 [n, 2k]: of every four columns a word for the first and the third, and one for the others.
    """
    halves = (256 * weights[0::2].astype(np.int64) + weights[1::2]) & 0xFFFF
    quads = halves.reshape(len(halves), -1, 4)
    return (quads[..., :2] | quads[..., 2:] << 16).reshape(len(halves), -1)


def shift_bytes(shift: np.ndarray, rows: int) -> np.ndarray:
    """Left shifts [n] → a byte each: of up to ``rows`` rows those to the right, then those to the left."""
    both = np.zeros((2, rows), np.int8)
    both[0, : len(shift)], both[1, : len(shift)] = np.maximum(-shift, 0), np.maximum(shift, 0)
    return words_of(both.reshape(-1))


def window_words(window: Window, channels: int) -> np.ndarray:
    """Five words that state how a window slides: int64 [5].

    ::

        target's width | height << 16
        source's width | height << 16
        channels
        window's width | height << 8 | step to the right << 16 | step down << 24
        padding to the left | above << 16
    """
    return np.array(
        [
            window.target_width | window.target_height << 16,
            window.source_width | window.source_height << 16,
            channels,
            window.width | window.height << 8 | window.step_right << 16 | window.step_down << 24,
            window.left | window.above << 16,
        ],
        np.int64,
    )
