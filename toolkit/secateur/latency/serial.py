"""``secateur calibrate`` of a microcontroller on the desk: what its kernels' instructions take, in cycles of its own.

Every probe network is flashed by the user's own tool and timed by the board's counter. Of an instruction's cycles one
number is fitted for each family of kernels, as that is how a target states them; instructions are the predicted ones,
so what is off about these is fitted with them.
"""

import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.device.devices import IMAGE_NAME
from secateur.device.serial import open_serial
from secateur.errors import SecateurError
from secateur.export.firmware.boards import board_of
from secateur.export.firmware.image import build_firmware
from secateur.export.read import read_tflite
from secateur.latency.board import FITTED, HELD_OUT, stored_probe
from secateur.latency.computer import Errors, errors_of, fit_relative, interval_of, toml_text, written_by
from secateur.operators.lower import lower
from secateur.pipeline import Share
from secateur.target.cost import instructions_by_kernel
from secateur.target.target import FAMILIES, Target

IMAGE = "{image}"
"""In a flash command: the path of the ELF image."""
NO_FAMILY = ""
_FLASH_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Cycles:
    """Cycles of an instruction, by family; ``NO_FAMILY`` for kernels of none.

    Attributes:
        fitted: by family, of those that the probes have.
        low, high: the interval, as factors of these.
        clock_hz: of the board's core while it ran.
    """

    fitted: Mapping[str, float]
    low: float
    high: float
    clock_hz: float


def calibrate_serial(target: Target, port: str, flash: str, share: Share) -> tuple[Cycles, Errors, Errors]:
    """Cycles by family; errors of whole networks held out, before (at the middle of the target's range) and after.

    Args:
        target: a board, of which the firmware is made.
        port: ``PORT`` or ``PORT@BAUD``.
        flash: command that flashes ``{image}`` and starts it; it is run once for each probe, without a shell.
        share: told of progress.

    Raises:
        SecateurError: a probe cannot be built, flashed or run; or the board counts something else than cycles.
    """
    command = _flash_words(flash)
    probes = (*FITTED, *HELD_OUT)
    rows: list[dict[str, float]] = []
    cycles: list[float] = []
    middle: list[float] = []
    clock_hz = 0.0
    for index, probe in enumerate(probes):
        share(index / len(probes), f"probe {index + 1} of {len(probes)}")
        model = stored_probe(probe, index)
        ticks, clock_hz = _timed(model, target, port, command)
        counts = instructions_by_kernel(lower(read_tflite(model), target.choice), target)
        rows.append(_by_family(counts))
        cycles.append(ticks)
        whole = target.latency_s(counts)
        middle.append((whole.low + whole.high) / 2 * target.clock_hz)
    fitted, ratios = _fitted(rows, np.array(cycles))
    count = len(FITTED)
    return (
        Cycles(fitted, *interval_of(ratios), clock_hz),
        errors_of(np.array(middle[count:]) / np.array(cycles[count:])),
        errors_of(1 / ratios[count:]),
    )


def require_cycles(target: Target) -> None:
    """Raises SecateurError where there is no firmware for the board itself, which counts cycles."""
    board = board_of(target)
    if board.clock != "cycles":
        raise SecateurError(
            "latency is fitted to cycles that a board counts",
            f"the firmware for {target.name} is {board.name}'s, and counts {board.clock}",
            "Add the board's driver (docs/firmware.md), or calibrate instructions by --device emulator.",
        )


def _fitted(rows: Sequence[Mapping[str, float]], cycles: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """Cycles by family, and each network's over the fitted ones.

    What is of no family is too little to be told apart in a dense or convolutional network: it takes what instructions
    take on the whole.
    """
    families = sorted({family for row in rows for family in row} - {NO_FAMILY})
    terms = np.array([[row.get(family, 0.0) for family in families] for row in rows])
    rest, count = np.array([row[NO_FAMILY] for row in rows]), len(FITTED)
    usual = float(np.median(cycles[:count] / (terms.sum(axis=1) + rest)[:count]))
    rates = fit_relative(terms[:count], np.maximum(cycles - usual * rest, 0.5 * cycles)[:count])
    fitted = {family: float(rate) or usual for family, rate in zip(families, rates)}
    ratios = cycles / (terms @ np.array(list(fitted.values())) + usual * rest)
    return {NO_FAMILY: usual, **fitted}, ratios


def _flash_words(flash: str) -> list[str]:
    try:
        words = shlex.split(flash)
    except ValueError as error:
        words, why = [], str(error)
    else:
        why = f"got {flash!r}"
    if not any(IMAGE in word for word in words):
        raise SecateurError(
            f"a flash command says by {IMAGE} where the image is",
            why,
            f"Write for example --flash 'openocd -f board/st_nucleo_f4.cfg -c \"program {IMAGE} reset exit\"'.",
        )
    return words


def _timed(model: bytes, target: Target, port: str, command: Sequence[str]) -> tuple[float, float]:
    """Cycles of a call, and the clock."""
    network, board = read_tflite(model), board_of(target)
    with tempfile.TemporaryDirectory() as folder:
        image = build_firmware(network, model, target, board, IMAGE_NAME, Path(folder))
        _flashed([word.replace(IMAGE, str(image)) for word in command])
        with closing(open_serial(network, model, port)) as device:
            observed = device.observe()
    return float(np.median(observed.ticks)), float(observed.clock_hz)


def _flashed(command: Sequence[str]) -> None:
    """Its output goes to files, not pipes: what it leaves running must not keep this waiting."""
    with tempfile.TemporaryFile() as said:
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=_FLASH_TIMEOUT_S
            ).returncode
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").split("\n")
            why = f"exit code {code}: {next((line for line in reversed(lines) if line.strip()), '')}"
        except OSError as error:
            code, why = 1, str(error.strerror)
        except subprocess.TimeoutExpired:
            code, why = 1, f"it took longer than {_FLASH_TIMEOUT_S:g} s"
    if code:
        raise SecateurError(
            "the flash command flashes a board", f"{command[0]}: {why}", "Try it by hand, then run again."
        )


def _by_family(counts: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for kernel, count in counts.items():
        family = FAMILIES.get(kernel, NO_FAMILY)
        found[family] = found.get(family, 0.0) + count
    return found


def serial_toml(target: Target, parent: str, found: Cycles, after: Errors, command: str) -> str:
    """A target file that inherits the board and states its own cycles of an instruction."""
    as_fast = found.clock_hz >= target.clock_hz

    def span(rate: float, most: float) -> tuple[str, str]:
        """Where the board's clock was lower than the target's, no less than was stated: flash may answer later."""
        return f"{rate * found.low:.4g}", f"{max(rate * found.high, 0.0 if as_fast else most):.4g}"

    low, high = span(found.fitted[NO_FAMILY], target.latency.cycles_per_instruction_high)
    at = f"{found.clock_hz / 1e6:g} MHz"
    lines = [
        written_by(command),
        f"inherit = {toml_text(parent)}",
        f"description = {toml_text(f'{target.description}; cycles fitted to a board')}",
        "",
        "[latency]",
        f"cycles_per_instruction_low = {low}",
        f"cycles_per_instruction_high = {high}",
        f'source = "secateur calibrate: {len(FITTED)} probe networks on a board at {at}; {len(HELD_OUT)} held out,'
        f' median error {after.median:.1%}, largest {after.largest:.1%}"',
        f'validity = "Dense and convolutional networks, int8, at {at}'
        + (
            ""
            if as_fast
            else "; flash may answer later at the target's clock: no end is below the one before"
        )
        + '"',
        "",
        "[latency.families]",
    ]
    for family, rate in found.fitted.items():
        if family != NO_FAMILY:
            stated = target.latency.families.get(family)
            low, high = span(rate, stated.high if stated else target.latency.cycles_per_instruction_high)
            lines.append(f"{family} = {{ low = {low}, high = {high} }}")
    return "\n".join(lines) + "\n"
