"""Operators on two sources of float32: the kernel is told which."""

from collections.abc import Callable, Sequence
from typing import NoReturn

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair

ARITHMETIC = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
"""Operator kinds, by the number that ``pair_float.c`` knows them by."""


def lower_arithmetic(lowering: Lowering, index: int) -> None:
    """``target = activation(one ∘ other)``, float32."""
    lower_pair(lowering, index, "pair_float", _words)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    return (ARITHMETIC.index(kind),)
