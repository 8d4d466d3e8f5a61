"""A bad cable: a pseudo-terminal that drops, flips and doubles bytes on their way to another end, and counts them."""

import os
import pty
import random
import select
import threading
import tty
from dataclasses import dataclass, field

CHUNK_BYTES = 1024
TICK_S = 0.05


@dataclass(frozen=True)
class Noise:
    """Shares of all bytes that are lost, changed, or come twice."""

    dropped: float = 0.0
    flipped: float = 0.0
    doubled: float = 0.0


@dataclass
class Way:
    """One direction: where it leads, what to do to its bytes, and what became of them."""

    source: int
    sink: int
    generator: random.Random
    counted: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("taken", "dropped", "flipped", "doubled", "given"), 0)
    )

    def pass_on(self, noise: Noise) -> bool:
        """Some bytes through; False at their end."""
        try:
            data = os.read(self.source, CHUNK_BYTES)
        except OSError:
            return False
        out = bytearray()
        for byte in data:
            draw = self.generator.random()
            if draw < noise.dropped:
                self.counted["dropped"] += 1
            elif draw < noise.dropped + noise.flipped:
                self.counted["flipped"] += 1
                out.append(byte ^ self.generator.randint(1, 255))
            elif draw < noise.dropped + noise.flipped + noise.doubled:
                self.counted["doubled"] += 1
                out += bytes([byte, byte])
            else:
                out.append(byte)
        self.counted["taken"] += len(data)
        self.counted["given"] += len(out)
        view = memoryview(out)
        while view:
            view = view[os.write(self.sink, view) :]
        return bool(data)


class NoisyLine:
    """Between a host, which opens ``port``, and a board."""

    def __init__(self, noise: Noise, seed: int, from_board: int, to_board: int | None = None) -> None:
        """Begin.

        Args:
            noise: of both directions; may be changed later.
            seed: of the noise.
            from_board: file that the board's bytes are read from.
            to_board: file that they are written to; the same one unless given.
        """
        self.noise = noise
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        generator = random.Random(seed)
        to_board = from_board if to_board is None else to_board
        self._ways = (
            Way(self._master, to_board, random.Random(generator.random())),
            Way(from_board, self._master, random.Random(generator.random())),
        )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @property
    def to_board(self) -> dict[str, int]:
        """Counts of bytes towards the board: taken, dropped, flipped, doubled, given."""
        return dict(self._ways[0].counted)

    @property
    def from_board(self) -> dict[str, int]:
        """Counts of bytes from the board."""
        return dict(self._ways[1].counted)

    def close(self) -> None:
        """End. The board's files stay open."""
        self._ending.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def _carry(self) -> None:
        ways = {way.source: way for way in self._ways}
        while not self._ending.is_set():
            for ready in select.select(list(ways), [], [], TICK_S)[0]:
                if not ways[ready].pass_on(self.noise):
                    del ways[ready]


def open_board(port: str) -> int:
    """A board's own port, raw, for ``NoisyLine``."""
    file = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(file)
    return file
