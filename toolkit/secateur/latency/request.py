"""``secateur calibrate``, as the command line states it."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secateur.device.devices import SERIAL
from secateur.errors import SecateurError, UsageError
from secateur.export.firmware.boards import board_of
from secateur.litert.bench import open_link
from secateur.pipeline import Progress
from secateur.runfolder import write_atomically
from secateur.target.computer import Computer
from secateur.target.target import Target, load_any


def calibrate(
    name: str,
    device: str,
    output: Path,
    dtypes: Sequence[str],
    flash: str | None,
    command: str,
    progress: Progress,
) -> dict[str, Any]:
    """Fits a target's latency model to a device, and writes a target file; see the other modules here.

    Args:
        name: of the target, or the path of its TOML.
        device: ``host`` or ``ssh://…`` for a computer, ``emulator`` or ``serial:PORT`` for a microcontroller.
        output: the file to write; must not be there.
        dtypes: of a computer; all where there are none.
        flash: command that flashes ``{image}``, for ``serial:PORT``.
        command: as it was typed.
        progress: told of it.

    Raises:
        SecateurError: a device that the target cannot have, or that cannot be measured.
    """
    from secateur.latency.board import board_toml, calibrate_board
    from secateur.latency.computer import calibrate_computer, computer_toml, known_dtypes
    from secateur.latency.serial import calibrate_serial, require_cycles, serial_toml

    if output.exists() or output.suffix != ".toml" or not output.absolute().parent.is_dir():
        raise SecateurError(
            "a calibrated target is a new .toml in a folder that is there",
            f"got {output}",
            "Choose another -o, with the ending .toml.",
        )
    target = load_any(name)
    if flash is not None and not device.startswith(SERIAL):
        raise UsageError(
            "a flash command is for a board on a serial port",
            f"--flash with --device {device}",
            f"Leave it out, or write --device {SERIAL}PORT.",
        )
    if dtypes and isinstance(target, Target):
        raise UsageError(
            "a board is calibrated in int8", f"got --dtype {dtypes[0]}", "Leave --dtype to computers."
        )
    progress.stage(f"measuring probe networks on {device}")
    found: dict[str, Any]
    if isinstance(target, Computer):
        link, wanted = open_link(device), known_dtypes(dtypes)
        fitted, parts, machine = calibrate_computer(target, link, wanted, progress.share)
        text = computer_toml(fitted, machine, command)
        errors = {part.dtype: {"before": part.before, "after": part.after} for part in parts}
        threads = {part.dtype: asdict(part.threads) for part in parts if part.threads is not None}
        found = {"machine": machine, "threads": threads}
    elif device.startswith(SERIAL):
        require_cycles(target)
        if flash is None:
            raise UsageError(
                "a board is flashed with every probe network",
                "there is no --flash",
                f"Give the command of your tool, for example --flash {shlex.quote(board_of(target).run)}.",
            )
        cycles, before, after = calibrate_serial(target, device.removeprefix(SERIAL), flash, progress.share)
        text = serial_toml(target, _parent(name), cycles, after, command)
        errors, found = {"cycles": {"before": before, "after": after}}, {"cycles": asdict(cycles)}
    elif device == "emulator":
        factors, before, after = calibrate_board(target, progress.share)
        text = board_toml(target, _parent(name), factors, after, command)
        errors, found = {"instructions": {"before": before, "after": after}}, {"factors": factors}
    else:
        raise UsageError(
            "a microcontroller is calibrated on the emulator or on a serial port",
            f"got {device!r}",
            f"Write --device emulator, or --device {SERIAL}PORT.",
        )
    write_atomically(output, text.encode())
    load_any(output)  # what every command will do with it
    plain = {key: {when: vars(value) for when, value in both.items()} for key, both in errors.items()}
    return {
        "schema": 1,
        "target": target.name,
        "device": device,
        "file": str(output),
        "errors": plain,
        **found,
    }


def _parent(name: str) -> str:
    """What a target file inherits from."""
    return Path(name).stem if name.endswith(".toml") else name
