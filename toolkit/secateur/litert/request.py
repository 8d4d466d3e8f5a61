"""``secateur bench`` on computers, as the command line states it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secateur.errors import UsageError, refuse_options
from secateur.pipeline import Progress
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
