"""What comparisons scale their sources by, and which answers they take as true."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair, stored

ANSWERS = {
    "LESS": 0b001,
    "EQUAL": 0b010,
    "LESS_EQUAL": 0b011,
    "GREATER": 0b100,
    "NOT_EQUAL": 0b101,
    "GREATER_EQUAL": 0b110,
}
"""Operator kind → bits of the answers that count: less, equal, greater."""

_UNORDERED = 0b1000
"""The bit of a comparison with what is no number."""


def lower_compare(lowering: Lowering, index: int) -> None:
    """``target = one ∘ other``: both brought to real values with 8 bits of fraction."""
    lower_pair(lowering, index, "compare", _words)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    scales = [float(np.float32(quantization.scales[0])) for quantization in quantizations[:2]]
    if not max(scales) < 1:
        refuse("compares sources with a scale of 1 and more", "Scale what is compared down in the model.")
    one, other = (quantization.zero_points[0] for quantization in quantizations[:2])
    return (one, *stored(scales[0]), other, *stored(scales[1]), ANSWERS[kind])


def lower_compare_float(lowering: Lowering, index: int) -> None:
    """The same of float32; what is no number is other than everything."""
    lower_pair(lowering, index, "compare_float", _words_float)


def _words_float(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    return (ANSWERS[kind] | (_UNORDERED if kind == "NOT_EQUAL" else 0),)
