"""What kernels for Helium (Armv8.1-M's vector extension) share: what they are taken for, and how rows are laid out."""

import numpy as np

from secateur.operators.lowering import Lowering
from secateur.operators.program import Weighted
from secateur.operators.requantise import multipliers
from secateur.operators.stream import Layer, words_of

CHUNK = 16
"""Bytes of a vector."""

BLOCK_CONSTANTS_BYTES, ROW_CONSTANTS_BYTES = 36, 12
"""Biases, multipliers and shifts of four rows; those of a row of its own."""


def taken(lowering: Lowering, part: Weighted, rows: int, single: bool = True) -> bool:
    """True where kernels for Helium are asked for and every sum is shifted to the right, so far as known.

    They round half away from zero by way of a shift; calibration leads to no scale of a half and more.
    """
    if not lowering.choice.helium:
        return False
    source, weights, target = (lowering.tensor(index) for index in (part.source, part.weights, part.target))
    if weights.data is None or None in (source.quantization, weights.quantization, target.quantization):
        return True
    assert source.quantization is not None
    assert weights.quantization is not None
    assert target.quantization is not None
    factors, shifts = multipliers(
        source.quantization, weights.quantization, target.quantization, rows, single
    )
    return bool((shifts[factors != 0] < 0).all())


def cut(columns: int) -> tuple[int, int]:
    """Columns of the first chunk, 1 to 16, and how many whole chunks follow."""
    chunks = (columns - 1) // CHUNK
    return columns - CHUNK * chunks, chunks


def rows_bytes(rows: int, columns: int) -> int:
    """Of rows as ``pack_rows`` lays them out."""
    whole = -(-columns // 4) * 4
    return rows * whole + rows // 4 * BLOCK_CONSTANTS_BYTES + rows % 4 * ROW_CONSTANTS_BYTES


def pack_rows(weights: np.ndarray, offset: np.ndarray, layer: Layer) -> list[np.ndarray]:
    """Words of all rows.

    ::

        for every 4 rows:
            for every row: weights of the first chunk, padded to whole words
            for every further chunk: for every row: weights[16]
            bias[4]                             less the source's zero point × the sum of the weights
            multiplier[4]                       m
            shift[4]                            a byte each; to the right: negative
        for each row that is left:
            weights[columns] padded to whole words, bias, multiplier (2·m − 2³²), right shift

    Args:
        weights: [rows, columns].
        offset: of each row.
        layer: multipliers and shifts.
    """
    rows, columns = weights.shape
    first, chunks = cut(columns)
    values, shift = weights.astype(np.int8), shifts(layer)
    words: list[np.ndarray] = []
    for start in range(0, rows - rows % 4, 4):
        block = slice(start, start + 4)
        head = np.zeros((4, -(-first // 4) * 4), np.int8)
        head[:, :first] = values[block, :first]
        rest = values[block, first:].reshape(4, chunks, CHUNK).transpose(1, 0, 2)
        words += [
            words_of(np.concatenate([head.reshape(-1), rest.reshape(-1)])),
            offset[block],
            layer.multiplier[block] // 2,
            words_of(shift[block]),
        ]
    for row in range(rows - rows % 4, rows):
        own = np.zeros(-(-columns // 4) * 4, np.int8)
        own[:columns] = values[row]
        words += [words_of(own), np.array([offset[row], layer.multiplier[row], -int(shift[row])], np.int64)]
    return words


def shifts(layer: Layer) -> np.ndarray:
    """int8 [rows], −1 and less; rows that are multiplied by zero may be shifted by whatever."""
    return np.minimum(layer.shift, -1).astype(np.int8)
