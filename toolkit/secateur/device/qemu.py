"""A whole emulated board: QEMU boots the firmware, and the host talks to it over its UART as to any board.

With ``-icount`` the emulator's time goes by instructions, so the board's counter counts these, exactly. They are not
cycles, and nothing here calls them so.
"""

import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from secateur.device.line import Line
from secateur.device.serial import Serial
from secateur.errors import SecateurError
from secateur.export.firmware.boards import BAUD, ICOUNT_SHIFT, Board
from secateur.export.toolchain import image_sizes
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.records import Measurement, Range
from secateur.target.cost import instructions_by_kernel
from secateur.target.target import Target

PROGRAM = "qemu-system-arm"
_START_TIMEOUT_S = 30
_RETURN_INSTRUCTIONS = (
    1  # of an empty call, which the board takes off as a whole; the network's own is counted
)
_WRAP_TICKS, _WRAP_INSTRUCTIONS = 1 << 24, 5  # of clock_systick.c


class Machine:
    """A running QEMU: its UART as a pseudo-terminal, and its reset button."""

    def __init__(self, board: Board, image: Path, uart: int = 0) -> None:
        """Boot an image.

        Args:
            board: what QEMU emulates.
            image: ELF.
            uart: which of the board's serial ports the firmware uses.

        Raises:
            SecateurError: QEMU is not installed, or does not start.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise SecateurError(
                "whole boards are emulated by QEMU",
                f"there is no {PROGRAM}",
                "Install it (Debian: apt install qemu-system-arm), or take --device emulator.",
            )
        command = [
            *(program, "-M", board.name, "-display", "none", "-monitor", "none", "-qmp", "stdio"),
            *("-chardev", "pty,id=uart", *["-serial", "null"] * uart, "-serial", "chardev:uart"),
            *("-icount", f"shift={ICOUNT_SHIFT},align=off,sleep=off", "-kernel", str(image.resolve())),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            self._ask("qmp_capabilities")
            ports = {one["label"]: one["filename"] for one in self._ask("query-chardev")}
            self.port = ports["uart"].removeprefix("pty:")
            self.version = ".".join(
                str(self._ask("query-version")["qemu"][part]) for part in ("major", "minor", "micro")
            )
        except (SecateurError, KeyError):
            self.stop()
            raise

    def reset(self) -> None:
        """Press the reset button."""
        self._ask("system_reset")

    def stop(self) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, command: str) -> Any:
        """One command of QEMU's machine protocol; events and what else it prints are passed over."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(_START_TIMEOUT_S, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps({"execute": command}).encode() + b"\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith(b"{"):
                    answer = json.loads(line)
                    if "return" in answer:
                        return answer["return"]
                    if "error" in answer:
                        raise self._failed(command, answer["error"]["desc"])
        except OSError:
            pass
        finally:
            watchdog.cancel()
        said = self._process.communicate()[1].decode("utf-8", "replace").strip()
        raise self._failed(command, said.splitlines()[-1] if said else "it ended")

    def _failed(self, command: str, why: str) -> SecateurError:
        return SecateurError(
            "QEMU runs the firmware",
            f"{command}: {why}",
            f"Check `{PROGRAM} --version`; 7.2 is known to work.",
        )


class Qemu:
    """A ``Device``: the emulated board with the target's core, behind its serial port."""

    def __init__(self, network: Network, model: bytes, image: Path, board: Board, target: Target) -> None:
        """Boot the firmware and greet it.

        Args:
            network: as read from the model.
            model: the .tflite.
            image: from ``build_firmware``.
            board: what it was built for.
            target: whose core it stands in for.

        Raises:
            SecateurError: QEMU or the firmware does not start.
        """
        self.network = network
        self._image, self._target = image, target
        self.machine = Machine(board, image)
        try:
            self.serial = Serial(network, model, Line(self.machine.port, BAUD))
        except SecateurError:
            self.machine.stop()
            raise
        self.name = f"qemu ({board.name} for {target.core}, QEMU {self.machine.version})"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ``Device.run``."""
        return self.serial.run(inputs)

    def reset(self) -> None:
        """See ``Device.reset``."""
        self.serial.reset()

    def measure(self) -> Measurement:
        """Sizes of the whole image, round trips on this machine, and instructions by the board's counter.

        For the latency these are shared out among kernels as predicted.
        """
        observed = self.serial.observe()
        instructions = max(_instructions(ticks, observed.clock_hz) for ticks in observed.ticks)
        sizes = image_sizes(self._image)
        predicted = instructions_by_kernel(lower(self.network, self._target.choice), self._target)
        share = instructions / sum(predicted.values())
        latency_s = self._target.latency_s({kernel: share * count for kernel, count in predicted.items()})
        return Measurement(
            device=self.name,
            weights_bytes=sizes.weights_bytes,
            tables_bytes=sizes.tables_bytes,
            code_bytes=sizes.code_bytes,
            static_ram_bytes=sizes.static_ram_bytes,
            instructions=instructions,
            round_trip_s=Range(min(observed.round_trip_s), max(observed.round_trip_s)),
            latency_s=latency_s,
            latency_source=self._target.latency_source("counted", instructions, latency_s),
        )

    def close(self) -> None:
        """See ``Device.close``."""
        self.serial.close()
        self.machine.stop()


def _instructions(ticks: int, clock_hz: int) -> int:
    """Ticks of the emulated counter → instructions that ran between, those of its own handler left out."""
    passed = round(ticks * 1e9 / clock_hz / (1 << ICOUNT_SHIFT))
    return passed + _RETURN_INSTRUCTIONS - ticks // _WRAP_TICKS * _WRAP_INSTRUCTIONS
