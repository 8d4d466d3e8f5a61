"""What MUL scales its product by."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair, stored

_LARGEST = float(1 << 14)


def lower_multiply(lowering: Lowering, index: int) -> None:
    """``target = activation(one × other)``."""
    lower_pair(lowering, index, "multiply", _words, lambda words: 0 < words[4] < 32)  # shifted to the right


def lower_multiply_16(lowering: Lowering, index: int) -> None:
    """The same of int16."""
    lower_pair(lowering, index, "multiply_16", _words_16)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    points = [quantization.zero_points[0] for quantization in quantizations]
    return (*points, *_words_16(kind, quantizations, refuse))


def _words_16(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    one, other, target = (float(np.float32(quantization.scales[0])) for quantization in quantizations)
    if not one * other / target < _LARGEST:
        refuse("has an output scale of next to nothing", "Calibrate the model again.")
    return stored(one * other / target)
