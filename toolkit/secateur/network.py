"""A network as a .tflite states it: tensors and operators, nothing of torch.

It comes with constant data (read from a file) or without (shapes only, to price widths that were never built).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Quantization:
    """``real = scale · (stored − zero_point)``, one pair for the tensor or one per index along ``axis``."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the network. ``data`` is set for constants where they are known, ``constant`` says it is one."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    constant: bool = False
    data: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator: its builtin name (``"FULLY_CONNECTED"``), tensor indices (−1: absent), options by name."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Network:
    """Operators in execution order over tensors, with named inputs and outputs (indices into ``tensors``).

    Attributes:
        states: input → the output of a call that is this input in the next one; zero in the first.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    states: Mapping[str, str] = field(default_factory=dict)

    @property
    def external(self) -> dict[str, int]:
        """The inputs that come from outside: all but the states."""
        return {name: tensor for name, tensor in self.inputs.items() if name not in self.states}
