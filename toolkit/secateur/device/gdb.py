"""GDB's remote serial protocol, the part of it that drives an emulator: memory, registers, breakpoints, go.

"Debugging with GDB", appendix "GDB Remote Serial Protocol": https://sourceware.org/gdb/current/onlinedocs/gdb/
"""

import contextlib
import os
import re
import select
import subprocess
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import NoReturn

from secateur.errors import SecateurError

SP, LR, PC, XPSR = 13, 14, 15, 25
"""Numbers of registers, of an M-profile core."""

_CHUNK_BYTES = 1024  # QEMU takes packets of 4,096 characters, two to a byte
_ANSWER_S, _RUN_S = 30.0, 300.0
_PACKET = re.compile(rb"[^$]*\$([^#]*)#..", re.DOTALL)


class Gdb:
    """An emulator that listens on its standard input and answers on its standard output."""

    def __init__(self, command: list[str]) -> None:
        """Start it; it waits for what it is told.

        Raises:
            SecateurError: it does not start.
        """
        self._command = command[0]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise SecateurError("the emulator starts", f"{command[0]}: {error}", "Install it.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._end = weakref.finalize(self, _end, self._process)
        self._to, self._from = self._process.stdin, self._process.stdout.fileno()
        self._unread = b""
        try:
            self._ask(["qXfer:features:read:target.xml:0,ffb"])  # after this, single registers have numbers
        except SecateurError:
            self.stop()
            raise

    def write(self, address: int, content: bytes) -> None:
        """Memory; registers of devices are left alone by emulators."""
        parts = [
            (start, content[start : start + _CHUNK_BYTES]) for start in range(0, len(content), _CHUNK_BYTES)
        ]
        self._do([f"M{address + start:x},{len(part):x}:{part.hex()}" for start, part in parts])

    def read(self, address: int, size_bytes: int) -> bytes:
        """Memory, or registers of a device."""
        sizes = [min(_CHUNK_BYTES, size_bytes - start) for start in range(0, size_bytes, _CHUNK_BYTES)]
        answers = self._ask([f"m{address + _CHUNK_BYTES * i:x},{size:x}" for i, size in enumerate(sizes)])
        for answer, size in zip(answers, sizes):
            if len(answer) != 2 * size:
                self._fail(f"reading at {address:#x} it says {answer!r}")
        return bytes.fromhex("".join(answers))

    def set_breakpoints(self, addresses: Iterable[int], there: bool = True) -> None:
        """Stop before the instruction at each address, or no longer."""
        self._do([f"{'Z' if there else 'z'}0,{address:x},2" for address in addresses])

    def enter(self, registers: Mapping[int, int]) -> int:
        """Set core registers, go on until the next breakpoint, and say where that is."""
        requests = [f"P{number:x}={value.to_bytes(4, 'little').hex()}" for number, value in registers.items()]
        *answers, _ = self._ask([*requests, "c"], _RUN_S)
        self._check(requests, answers)
        return self.place()

    def go_on(self) -> int:
        """From a breakpoint to the next, and say where that is."""
        self._ask(["s"])  # be there a breakpoint or not
        self._ask(["c"], _RUN_S)
        return self.place()

    def place(self) -> int:
        """The program counter."""
        return int.from_bytes(bytes.fromhex(self._ask([f"p{PC:x}"])[0]), "little")

    def stop(self) -> None:
        """End the emulator; it ends with this object and with this process too."""
        self._end()

    def _do(self, requests: list[str]) -> None:
        self._check(requests, self._ask(requests))

    def _check(self, requests: list[str], answers: list[str]) -> None:
        for request, answer in zip(requests, answers):
            if answer != "OK":
                self._fail(f"{request[:20]} is answered by {answer!r}")

    def _ask(self, requests: list[str], patience_s: float | None = None) -> list[str]:
        """Packets on end, then their answers; acknowledgements are passed over, for a pipe loses nothing."""
        contents = [request.encode() for request in requests]
        patience_s = _ANSWER_S if patience_s is None else patience_s
        end = time.monotonic() + patience_s
        answers: list[str] = []
        with contextlib.suppress(OSError):
            self._to.write(b"".join(b"+$%b#%02x" % (content, sum(content) & 0xFF) for content in contents))
            self._to.flush()
            while len(answers) < len(requests):
                if found := _PACKET.match(self._unread):
                    self._unread = self._unread[found.end() :]
                    answers.append(found[1].decode("ascii", "replace"))
                    continue
                if not select.select([self._from], [], [], max(0.0, end - time.monotonic()))[0]:
                    break
                if not (more := os.read(self._from, 1 << 16)):
                    break
                self._unread += more
        if len(answers) < len(requests):
            self._process.kill()
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode("utf-8", "replace").strip()
            self._fail(said.splitlines()[-1] if said else f"it ended, or was silent for {patience_s:g} s")
        return answers

    def _fail(self, seen: str) -> NoReturn:
        raise SecateurError(
            "the emulated core runs what was generated for it",
            f"{self._command}: {seen}",
            "If QEMU is 7.2 or later, this is a fault of secateur; please report it with the .tflite.",
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not sent cannot be sent now
                pipe.close()
