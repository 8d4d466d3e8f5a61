"""What an operator's kernel tells the rest: its work terms, its constant arrays, its C and how C calls it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from secateur.network import Network
from secateur.operators.program import Step

TYPES_OF_C = {1: "int8_t", 2: "secateur_int16", 4: "secateur_float"}
"""Bytes of an activation's element → its type in the kernels."""


def pointer(place: str, kind: str) -> str:
    """A C expression of bytes, or of words, as a pointer to a type."""
    return place if kind == "int8_t" else f"({kind} *)(void *)({place})"


def constant_pointer(place: str, kind: str) -> str:
    """The same, of what is not written."""
    return place if kind == "int8_t" else f"(const {kind} *)(const void *)({place})"


def ends(reads: Sequence[str], writes: Sequence[str], kind: str) -> str:
    """The arguments of a kernel with one source and one target, of a type of C."""
    return f"{constant_pointer(reads[0], kind)}, {pointer(writes[0], kind)}"


@dataclass(frozen=True, eq=False)
class Array:
    """A constant of the generated C.

    Attributes:
        kind: ``"weights"`` (with biases and requantisation constants) or ``"table"``.
        values: uint32 or int8, one axis.
        comment: what is in it, for the reader of the C.
    """

    kind: Literal["weights", "table"]
    values: np.ndarray
    comment: str

    @classmethod
    def of_words(cls, words: np.ndarray, comment: str) -> "Array":
        """A stream that a kernel reads: integers → uint32 [words], modulo 2³²."""
        return cls("weights", (words.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32), comment)

    @classmethod
    def of_constant(cls, data: Any, comment: str, wide: bool) -> "Array":
        """A constant of the network that a kernel reads as it is stored, filled up to whole words.

        Args:
            data: of any type.
            comment: what it is.
            wide: whether the kernel reads it as words rather than bytes, and so on a boundary of words.
        """
        stored = np.frombuffer(data.tobytes(), np.int8)
        values = np.zeros(padded_size(stored.size), np.int8)
        values[: stored.size] = stored
        return cls("weights", values.view(np.uint32) if wide else values, comment)


def padded_size(size_bytes: int) -> int:
    """Of a constant: whole words, so that what follows it in flash starts on one."""
    return -(-size_bytes // 4) * 4


def no_arrays(network: Network, step: Step) -> tuple[Array, ...]:
    """The constant arrays of a kernel that is told everything by its arguments."""
    return ()


@dataclass(frozen=True)
class Kernel:
    """A kernel, listed in ``KERNELS``.

    Attributes:
        name: of the kernel; its C function is ``secateur_<name>``.
        folder: where ``<name>.c`` is.
        prototype: of the C function, without the semicolon.
        summary: one line for the header, what the function does.
        terms: names of the work that instructions are counted by; a target states instructions for each.
        pack: network with data, step → its constant arrays.
        call: step, names of its arrays, C expressions of the buffers read and written → the arguments in C.
        includes: headers that its C shares with other kernels: ``<include>.h`` beside it or in operators/.
    """

    name: str
    folder: Path
    prototype: str
    summary: str
    terms: tuple[str, ...]
    pack: Callable[[Network, Step], tuple[Array, ...]]
    call: Callable[[Step, Sequence[str], Sequence[str], Sequence[str]], str]
    includes: tuple[str, ...] = ()

    def source(self) -> str:
        """The kernel's C."""
        return (self.folder / f"{self.name}.c").read_text(encoding="utf-8")

    def headers(self) -> dict[str, str]:
        """Name of each header that it includes → content."""
        folders = (self.folder, Path(__file__).parent)
        paths = {
            name: next(path for folder in folders if (path := folder / f"{name}.h").is_file())
            for name in self.includes
        }
        return {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
