"""A ``Core`` in QEMU, for cores that Unicorn does not have: Cortex-M55, which stands in for Cortex-M85 as well.

No firmware runs on the emulated board (Arm's MPS3 with image AN547). Its core is halted, set up and let go as a
debugger does it. With ``-icount`` each instruction takes the same time, those whose condition fails too, so the
subsystem's 64-bit counter tells how many ran (Arm SSE-300 Technical Reference Manual, "System counter").
"""

import shutil
import subprocess
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from secateur.device.core import Counted
from secateur.device.gdb import LR, PC, SP, XPSR, Gdb
from secateur.device.qemu import PROGRAM
from secateur.errors import SecateurError
from secateur.export.firmware.boards import ICOUNT_SHIFT
from secateur.target.target import Target

CORES = ("cortex-m55", "cortex-m85")
"""Whose code runs here: the one core that QEMU has, and one with the same instructions but for branch protection."""

_MACHINE = "mps3-an547"
_FLASH_ORIGIN, _RAM_ORIGIN, _HALF_BYTES = 0x7000_0000, 0x7800_0000, 0x0800_0000  # of the board's DDR, secure
_STUB, _RETURN = 0x3000_0000, 0x3000_0010  # in the data TCM, which no image is linked for
_STORE = bytes.fromhex("01607047")  # str r1, [r0]; bx lr
_CPACR, _FPU = 0xE000_ED88, 0xF << 20
_COUNTER_CONTROL, _COUNTER = 0x5810_0000, 0x5810_1000
_COUNTER_HZ = 32_000_000
_THUMB = 1 << 24


def in_emulator(target: Target) -> Target:
    """The target with addresses of memory that the emulated board has."""
    if target.flash_bytes > _HALF_BYTES or target.ram_bytes > _HALF_BYTES:
        raise SecateurError(
            f"the emulated board has {_HALF_BYTES:,} B each for flash and RAM",
            f"{target.name} has {target.flash_bytes:,} and {target.ram_bytes:,}",
            "Take a smaller board.",
        )
    return target.model_copy(update={"flash_origin": _FLASH_ORIGIN, "ram_origin": _RAM_ORIGIN})


@lru_cache
def qemu_name(program: str = PROGRAM) -> str:
    """QEMU and its version."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return f"QEMU {done.stdout.split('version ')[-1].split()[0]}" if "version " in done.stdout else "QEMU"


class QemuCore:
    """See ``Core``."""

    def __init__(self, image: Path, target: Target) -> None:
        """A core with the image loaded, which was linked for ``in_emulator``'s memory.

        Raises:
            SecateurError: the core has no model, or QEMU is not installed or does not start.
        """
        program = shutil.which(PROGRAM)
        if target.core not in CORES:
            raise SecateurError(
                f"QEMU's core stands for {', '.join(CORES)}",
                f"{target.name} is a {target.core}",
                "Use another device.",
            )
        if program is None:
            raise SecateurError(
                f"a {target.core} is emulated by QEMU",
                f"there is no {PROGRAM}",
                "Install it (Debian: apt install qemu-system-arm), or take --device host or tflm.",
            )
        self._path = image
        self.name = qemu_name(program)
        self._gdb = Gdb(
            [
                *(program, "-M", _MACHINE, "-S", "-display", "none", "-monitor", "none", "-serial", "null"),
                *("-icount", f"shift={ICOUNT_SHIFT},align=off,sleep=off"),
                *("-device", f"loader,file={image.resolve()}"),
                *("-chardev", "stdio,id=gdb,signal=off", "-gdb", "chardev:gdb"),
            ]
        )
        try:
            self._gdb.write(_STUB, _STORE)
            self._gdb.set_breakpoints([_RETURN])
            for address, value in ((_CPACR, _FPU), (_COUNTER_CONTROL, 1)):
                self._check_back(self._gdb.enter({0: address, 1: value, **_entry(_STUB, _STUB + 0x1000)}))
        except SecateurError:
            self.close()
            raise

    def write(self, address: int, content: bytes) -> None:
        """See ``Core.write``."""
        self._gdb.write(address, content)

    def read(self, address: int, size_bytes: int) -> bytes:
        """See ``Core.read``."""
        return self._gdb.read(address, size_bytes)

    def call(self, function: int, stack_top: int) -> None:
        """See ``Core.call``."""
        self._check_back(self._gdb.enter(_entry(function, stack_top)))

    def counting(self) -> "QemuCore":
        """This one."""
        return self

    def count(self, function: int, stack_top: int, marks: Collection[int]) -> Counted:
        """See ``Core.count``."""
        found: list[int] = []
        self._gdb.set_breakpoints(marks)
        start = self._ticks()
        place = self._gdb.enter(_entry(function, stack_top))
        while place in marks:
            found.append(_instructions(self._ticks() - start))
            place = self._gdb.go_on()
        self._check_back(place)
        total = _instructions(self._ticks() - start)
        self._gdb.set_breakpoints(marks, there=False)
        return Counted(total, tuple(found))

    def close(self) -> None:
        """See ``Core.close``."""
        self._gdb.stop()

    def _check_back(self, place: int) -> None:
        if place != _RETURN:
            raise SecateurError(
                "the generated code runs within its memory",
                f"it stopped at {place:#010x} in {self._path}",
                "This is a fault of secateur; please report it with the .tflite.",
            )

    def _ticks(self) -> int:
        return int.from_bytes(self._gdb.read(_COUNTER, 8), "little")


def _entry(function: int, stack_top: int) -> dict[int, int]:
    """Registers of a call."""
    return {SP: stack_top, LR: _RETURN | 1, PC: function, XPSR: _THUMB}


def _instructions(ticks: int) -> int:
    return round(ticks * 1e9 / _COUNTER_HZ / (1 << ICOUNT_SHIFT))
