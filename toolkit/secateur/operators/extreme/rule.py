"""MAXIMUM and MINIMUM compare what is stored."""

from collections.abc import Callable, Sequence
from typing import NoReturn

from secateur.network import Quantization
from secateur.operators.lowering import Lowering
from secateur.operators.pairing import lower_pair


def lower_extreme(lowering: Lowering, index: int) -> None:
    """``target`` = the larger or the smaller of two sources; all have one scale and zero point."""
    lower_pair(lowering, index, "extreme", _words)


def lower_extreme_16(lowering: Lowering, index: int) -> None:
    """The same of int16."""
    lower_pair(lowering, index, "extreme_16", _words)


def _words(
    kind: str, quantizations: Sequence[Quantization], refuse: Callable[[str, str], NoReturn]
) -> Sequence[int]:
    if len({(item.scales[0], item.zero_points[0]) for item in quantizations}) != 1:
        refuse("has sources of other scales than its target", "Give all three one scale.")
    return (int(kind == "MAXIMUM"),)
