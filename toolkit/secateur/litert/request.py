"""``secateur bench`` on computers, and ``secateur calibrate``, as the command line states them."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from secateur.device.devices import SERIAL
from secateur.errors import SecateurError, UsageError, refuse_options
from secateur.export.firmware.boards import board_of
from secateur.litert.bench import open_link
from secateur.pipeline import Progress
from secateur.runfolder import write_atomically
from secateur.target.computer import Computer
from secateur.target.target import Target, load_any
from secateur.units import parse_fraction, parse_seconds


@dataclass(frozen=True)
class ComputerBench:
    """What is asked of ``bench`` on computers, as the command line states it.

    Attributes:
        source: .tflite, exported folder or run.
        target: what to predict for; None for nothing.
        devices: as ``litert.bench.open_link`` takes them.
        threads: None for the target's own number.
        utilisation, confidence, max_time: texts.
        force: report a device that was throttled.
        toolchain, optimise, ram_bytes: of a board's generated C: none is made for a computer, so they are refused.
    """

    source: str
    target: str | None
    devices: tuple[str, ...]
    threads: int | None
    utilisation: str
    confidence: str
    max_time: str
    force: bool
    toolchain: str | None = None
    optimise: str | None = None
    ram_bytes: int | None = None


def on_computers(target: str | None, devices: Sequence[str]) -> bool:
    """Whether a bench is one of LiteRT on computers: by its target, or without one by its devices.

    Raises:
        UsageError: several devices of a microcontroller, or none of its kinds.
    """
    reached = [device for device in devices if device.startswith("ssh://")]
    if target is None:
        if len(reached) + devices.count("host") == len(devices):
            return True
        raise UsageError(
            "a microcontroller's device has a target", f"got {', '.join(devices)}", "Add --target."
        )
    if isinstance(load_any(target), Computer):
        return True
    if reached or len(devices) != 1:
        raise UsageError(
            "a microcontroller is benchmarked on one of emulator, qemu, serial:PORT, host and tflm",
            f"{target} on {', '.join(devices)}",
            "Take one of them, or a computer as the target.",
        )
    return False


def bench_on_computers(request: ComputerBench, progress: Progress) -> dict[str, Any]:
    """Times a model on computers; see ``litert.bench``."""
    from secateur.device.timing import Effort
    from secateur.litert.bench import bench_computers

    target = load_any(request.target) if request.target else None
    assert not isinstance(target, Target)
    options = {
        "--optimise": request.optimise,
        "--toolchain": request.toolchain,
        "--ram": request.ram_bytes,
    }
    refuse_options(options, "computers run .tflite files")
    confidence = parse_fraction(request.confidence)
    if confidence not in (0.9, 0.95, 0.99):
        raise UsageError("confidence is 90%, 95% or 99%", f"got {request.confidence!r}", "Take one of them.")
    effort = Effort(
        threads=request.threads or (target.threads if target else 1),
        confidence=confidence,
        max_s=parse_seconds(request.max_time),
    )
    progress.stage(f"measuring on {', '.join(request.devices)}")
    return bench_computers(
        request.source,
        target,
        request.devices,
        effort,
        parse_fraction(request.utilisation),
        request.force,
        progress.share,
    )


def calibrate(
    name: str,
    device: str,
    output: Path,
    dtypes: Sequence[str],
    flash: str | None,
    command: str,
    progress: Progress,
) -> dict[str, Any]:
    """Fits a target's latency model to a device, and writes a target file; see ``litert.calibrate``.

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
    from secateur.litert.calibrate import calibrate_computer, computer_toml, known_dtypes
    from secateur.litert.calibrate_board import board_toml, calibrate_board
    from secateur.litert.calibrate_serial import calibrate_serial, require_cycles, serial_toml

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
