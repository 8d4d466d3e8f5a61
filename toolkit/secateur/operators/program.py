"""What a network becomes on a microcontroller: a straight line of kernel calls over buffers in one arena.

A program depends on shapes, types and the quantisation of activations alone, so it can be made, and priced,
for widths that were never built. The numbers that fill its arrays are packed later, by the kernel that will
read them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from secateur.network import Network

Optimise = Literal["speed", "size"]
"""What kernels are chosen for: the fewest instructions, or the least flash."""


@dataclass(frozen=True)
class Patches:
    """A chain of steps that is carried out patch by patch of its result, so that no image between exists whole.

    Attributes:
        first, last: labels of its steps, as lowered whole.
        height, width: of a patch of the result; the last ones of an axis overlap with those before.
    """

    first: str
    last: str
    height: int
    width: int


@dataclass(frozen=True)
class Choice:
    """By what rules choose among kernels, where there are several.

    Attributes:
        optimise: for what.
        helium: take kernels for Armv8.1-M's vectors where there are some.
        patches: chains that are carried out by patches.
    """

    optimise: Optimise = "speed"
    helium: bool = False
    patches: tuple[Patches, ...] = ()


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


@dataclass(frozen=True)
class Loop:
    """Steps that are called for every patch of a result in turn, from left to right and then down.

    Attributes:
        first, last: steps, both included.
        height, width: of a patch.
        result_height, result_width: of what the patches make up.
        source, target: buffers that all rounds read from, and write to.
    """

    first: int
    last: int
    height: int
    width: int
    result_height: int
    result_width: int
    source: int
    target: int

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and to the right."""
        return -(-self.result_height // self.height), -(-self.result_width // self.width)


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in execution order, the buffers they use, and which of these are inputs and outputs, by name.

    The work of steps in one of the ``loops``, which are in order, is that of all its rounds.
    """

    network: Network
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    loops: tuple[Loop, ...] = ()

    def calls(self) -> Iterator[int]:
        """Indices of the steps, as often as each is called, in order."""
        done = 0
        for loop in self.loops:
            yield from range(done, loop.first)
            down, right = loop.grid
            for _ in range(down * right):
                yield from range(loop.first, loop.last + 1)
            done = loop.last + 1
        yield from range(done, len(self.steps))


def lifetimes(
    network: Network,
    steps: Sequence[Step],
    inputs: Mapping[str, int],
    outputs: Mapping[str, int],
    loops: Sequence[Loop],
    count: int,
) -> list[tuple[int, int]]:
    """First and last step of each of ``count`` buffers; a loop's source and target live in all of it."""
    most = len(steps)
    first, last = [most] * count, [-1] * count
    for index, step in enumerate(steps):
        for buffer in (*step.reads, *step.writes):
            first[buffer] = min(first[buffer], index)
            last[buffer] = index
    for buffer in inputs.values():
        first[buffer] = 0
        last[buffer] = max(last[buffer], 0)
    for buffer in (*outputs.values(), *(inputs[name] for name in network.states)):
        last[buffer] = max(most - 1, 0)
    for loop in loops:
        last[loop.source] = max(last[loop.source], loop.last)
        first[loop.target] = min(first[loop.target], loop.first)
    return list(zip(first, last))


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
