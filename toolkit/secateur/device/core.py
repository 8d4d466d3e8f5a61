"""A core without its board: the memory that an image is linked for, and calls into it. Who emulates it is apart."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Counted:
    """A call, counted.

    Attributes:
        instructions: of the whole call.
        marks: instructions before each arrival at a marked address, in order.
    """

    instructions: int
    marks: tuple[int, ...]


class Core(Protocol):
    """An emulated core with an image in its memory. Addresses of functions are without the Thumb bit.

    Attributes:
        name: of the emulator and its version.
    """

    name: str

    def write(self, address: int, content: bytes) -> None:
        """Put bytes into memory."""
        ...

    def read(self, address: int, size_bytes: int) -> bytes:
        """Bytes of memory."""
        ...

    def call(self, function: int, stack_top: int) -> None:
        """Call a function without arguments.

        Raises:
            SecateurError: it faults, or does not come back.
        """
        ...

    def counting(self) -> "Core":
        """A core with this image that counts: this one, or another whose memory is as it was loaded."""
        ...

    def count(self, function: int, stack_top: int, marks: Collection[int]) -> Counted:
        """Call a function, instruction by instruction; on what ``counting`` gave."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
