"""What a network becomes on a microcontroller: a straight line of kernel calls over buffers in one arena.

A program depends on shapes, types and the quantisation of activations alone, so it can be made, and priced,
for widths that were never built. The numbers that fill its arrays are packed later, by the kernel that will
read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from secateur.network import Network

Optimise = Literal["speed", "size"]
"""What kernels are chosen for: the fewest instructions, or the least flash."""


@dataclass(frozen=True)
class Choice:
    """By what rules choose among kernels, where there are several.

    Attributes:
        optimise: for what.
        helium: take kernels for Armv8.1-M's vectors where there are some.
    """

    optimise: Optimise = "speed"
    helium: bool = False


BY_SPEED = Choice()


@dataclass(frozen=True)
class Buffer:
    """A place in the arena.

    Attributes:
        name: the tensor it was made for.
        size_bytes: what is stored; the planner rounds it up to whole words.
        first, last: the steps, both included, between which its content matters.
    """

    name: str
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Step:
    """One kernel call.

    Attributes:
        label: stable and readable, unique in its program; from the names of the .tflite's tensors.
        kernel: key of ``KERNELS``.
        operators: the network's operators that it carries out.
        reads, writes: buffers; the same one on both sides is an operation in place.
        rows, columns: [rows, columns] of the weights of a matrix product; [1, elements] of an element-wise
            step.
        macs: multiply-accumulates.
        parameters: weights and biases, as torch counts them.
        weights_bytes, tables_bytes: of its constant arrays, exact.
        work: how often each of the kernel's ``terms`` is executed.
        payload: what its kernel needs to pack and to emit it.
    """

    label: str
    kernel: str
    operators: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    rows: int
    columns: int
    macs: int
    parameters: int
    weights_bytes: int
    tables_bytes: int
    work: tuple[int, ...]
    payload: Any = None


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in execution order, the buffers they use, and which of these are inputs and outputs, by name."""

    network: Network
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class Weighted(Protocol):
    """Network tensors of a layer with weights."""

    @property
    def source(self) -> int:
        """Read."""
        ...

    @property
    def weights(self) -> int:
        """Constant."""
        ...

    @property
    def target(self) -> int:
        """Written."""
        ...
