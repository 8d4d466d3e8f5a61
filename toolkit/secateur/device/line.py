"""A serial port: bytes out, bytes in, at a baud rate. A pseudo-terminal is one too."""

import contextlib
import os
import select
import termios
import time
import tty

from secateur.errors import SecateurError

_CHUNK_BYTES = 4096
_SEND_TIMEOUT_S = 10.0
_SPEEDS = {
    int(name[1:]): getattr(termios, name) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}


class Line:
    """An open serial port, raw: eight bits, no parity, one stop bit, no flow control."""

    def __init__(self, port: str, baud: int) -> None:
        """Open a port.

        Args:
            port: its device file, for example ``/dev/ttyACM0``.
            baud: bits per second, one that the system has.

        Raises:
            SecateurError: no such port or rate, or not permitted.
        """
        if baud not in _SPEEDS:
            rates = ", ".join(str(rate) for rate in sorted(_SPEEDS) if rate >= 9600)
            raise SecateurError("a baud rate is one that the system has", f"got {baud}", f"Choose {rates}.")
        self.port, self.baud = port, baud
        try:
            self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise SecateurError(
                "a serial port can be opened",
                f"{port}: {error.strerror}",
                "Check that the board is plugged in, and that you may use its port (group dialout, usually).",
            ) from error
        try:
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            settings[2] = (settings[2] | termios.CLOCAL | termios.CREAD) & ~(termios.HUPCL | termios.CSTOPB)
            settings[4] = settings[5] = _SPEEDS[baud]
            termios.tcsetattr(self._file, termios.TCSANOW, settings)
            termios.tcflush(self._file, termios.TCIOFLUSH)
        except termios.error as error:
            os.close(self._file)
            raise SecateurError(
                "a serial port is a terminal", f"{port}: {error.args[-1]}", "Name the port of the board."
            ) from error

    def send(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            SecateurError: the port is gone, or takes nothing for ten seconds.
        """
        deadline = time.monotonic() + _SEND_TIMEOUT_S
        rest = memoryview(data)
        while rest:
            ready = select.select([], [self._file], [], max(0.0, deadline - time.monotonic()))[1]
            if not ready:
                raise self._gone(f"takes no bytes for {_SEND_TIMEOUT_S:g} s")
            try:
                rest = rest[os.write(self._file, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(str(error.strerror)) from error

    def receive(self, timeout_s: float) -> bytes:
        """What came, as soon as something did; nothing after the time-out.

        Raises:
            SecateurError: the port is gone.
        """
        if not select.select([self._file], [], [], max(0.0, timeout_s))[0]:
            return b""
        try:
            data = os.read(self._file, _CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(str(error.strerror)) from error
        if not data:
            raise self._gone("it was closed at the other end")
        return data

    def close(self) -> None:
        """Let go of the port."""
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _gone(self, why: str) -> SecateurError:
        return SecateurError(
            "a serial port stays there while it is used", f"{self.port}: {why}", "Plug the board in again."
        )
