"""Ten thousand steps of emulated firmware over a bad serial line, with a reset in the middle, held against TFLM.

    python bench/serial.py

The firmware runs on QEMU's board with the target's core, and is driven over its UART by the same code as a real board,
through a pseudo-terminal that drops, flips and doubles bytes in both directions. Two networks: one whose calls fit a
frame, and one whose inputs and outputs take several; these get a quarter of the noise, of which nearly all their
frames would be damaged, and a quarter of the steps. Each is run with noise and with the board's reset button pressed
half way, while calls are under way; a tenth of the steps also with noise alone, and on a clean line. Counts are checked
against each other: bytes by host, board and line; steps and requests, each carried out once. Fails if anything is
wrong; writes bench/results/serial.json and the table in docs/firmware.md.
"""

import argparse
import itertools
import json
import os
import platform
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from noisy_line import Noise, NoisyLine, open_board
from torch import nn

from secateur.device.line import Line
from secateur.device.protocol import random_inputs
from secateur.device.qemu import Machine
from secateur.device.serial import Serial
from secateur.device.tflm import Tflm
from secateur.errors import SecateurError
from secateur.export.firmware.boards import BAUD, emulated_board
from secateur.export.firmware.image import build_firmware
from secateur.export.quantize import quantize
from secateur.export.read import read_tflite
from secateur.runfolder import to_json, write_atomically
from secateur.target.target import Target, load_target

RESULTS = Path(__file__).parent / "results" / "serial.json"
PAGE = Path(__file__).parent.parent / "docs" / "firmware.md"
NETWORKS = {"one frame a call": ((24, 64, 64, 12), 1), "several frames a call": ((1200, 24, 1100), 4)}
"""Widths, and by what steps and noise are divided."""

CHUNK = 50
"""Steps under way when the reset button is pressed."""


def int8_model(widths: tuple[int, ...]) -> bytes:
    """The .tflite of a stack of linear layers with random weights, calibrated on random inputs."""
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    import litert_torch

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    module = nn.Sequential(*layers[:-1]).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        litert_torch.convert(module, sample_kwargs={"input": torch.zeros(1, widths[0])}).export(str(path))
        model = path.read_bytes()
    samples = np.random.default_rng(0).normal(size=(64, widths[0])).astype(np.float32)
    return quantize(model, {"input": samples})


def require(condition: bool, what: str) -> None:
    if not condition:
        raise SystemExit(f"wrong: {what}")


def driven(
    model: bytes, image: Path, target: Target, noise: Noise, steps: int, reset: bool
) -> dict[str, Any]:
    """Steps over a line; what became of them."""
    network = read_tflite(model)
    inputs = random_inputs(network, steps, np.random.default_rng(1))
    reference = Tflm(network, model)
    expected = reference.run(inputs)
    with ExitStack() as ending:
        machine = Machine(emulated_board(target), image)
        ending.callback(machine.stop)
        inside = open_board(machine.port)
        ending.callback(os.close, inside)
        line = NoisyLine(noise, 0, inside)
        ending.callback(line.close)
        device = Serial(network, model, Line(line.port, BAUD))
        ending.callback(device.close)
        steps_before_reset, wrong, began = 0, 0, time.monotonic()
        for start in range(0, steps, CHUNK):
            press = threading.Thread(target=machine.reset)
            here = reset and start <= steps // 2 < start + CHUNK
            if here:
                line.noise = Noise()
                steps_before_reset = device.board_counters()["steps"]
                line.noise = noise
                press.start()
            part = {name: values[start : start + CHUNK] for name, values in inputs.items()}
            for name, values in device.run(part).items():
                differs = (
                    (values != expected[name][start : start + CHUNK]).reshape(len(values), -1).any(axis=1)
                )
                wrong += int(differs.sum())
            if here:
                press.join()
        took_s = time.monotonic() - began
        line.noise = Noise()
        device.board_counters()
        time.sleep(1.0)  # what is late is in by then
        counters, host = device.board_counters(), device.statistics
        to_board, from_board = line.to_board, line.from_board

    require(wrong == 0, f"{wrong} outputs differ from TFLM's")
    require(host.sessions == 1 + reset, f"{host.sessions} sessions")
    require(host.sent_bytes == to_board["taken"], "bytes sent by the host are not those on the line")
    require(
        host.received_bytes == from_board["given"], "bytes received by the host are not those on the line"
    )
    for way in (to_board, from_board):
        require(way["given"] == way["taken"] - way["dropped"] + way["doubled"], "the line lost count")
    carried_out = counters["steps"] + steps_before_reset
    if (
        reset
    ):  # which took the count of up to a chunk with it; and the answer to one step, which was made anew
        require(steps - CHUNK <= carried_out <= steps + 1, f"{carried_out} of {steps} steps carried out")
    else:
        require(carried_out == steps, f"{carried_out} of {steps} steps carried out")
        require(
            counters["received_bytes"] == to_board["given"], "bytes at the board are not those on the line"
        )
        asked = counters["received_frames"] - counters["repeated_frames"] - counters["dropped_frames"]
        require(asked == host.requests, f"{asked} of {host.requests} requests carried out")
    return {
        "steps": steps,
        "wrong_outputs": wrong,
        "steps_counted_before_reset": steps_before_reset,
        "noise": asdict(noise),
        "seconds": round(took_s, 2),
        "host": asdict(host),
        "board_since_reset": counters,
        "line_to_board": to_board,
        "line_from_board": from_board,
    }


def filled(page: str) -> str:
    """The page with the table of the kept results."""
    kept = json.loads(RESULTS.read_bytes())
    lines = [
        f"`{kept['command']}`, on {kept['board']} for {kept['target']}. Sent again: requests whose frame or answer was "
        "lost or damaged; damaged: frames, as host and board saw them (the board since its reset).",
        "",
        "| network | line | steps | wrong outputs | sent again | damaged | sessions | a step |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for title, row in kept["cases"].items():
        network, line = title.split(": ")
        host, board, noise = row["host"], row["board_since_reset"], row["noise"]
        disturbed = f", {100 * sum(noise.values()):.2g} % of bytes" if any(noise.values()) else ""
        cells = (
            *(network, line + disturbed, f"{row['steps']:,}", row["wrong_outputs"]),
            f"{host['sent_frames'] - host['requests']:,} of {host['requests']:,}",
            f"{host['damaged_frames']:,} and {board['damaged_frames']:,}",
            *(host["sessions"], f"{1000 * row['seconds'] / row['steps']:.1f} ms"),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    head, rest = page.split("<!-- serial -->")
    tail = rest.split("<!-- /serial -->")[1]
    return "\n".join([f"{head}<!-- serial -->", *lines, f"<!-- /serial -->{tail}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="stm32f446re")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--share", type=float, default=0.002, help="of bytes dropped, flipped, doubled: each")
    arguments = parser.parse_args()
    target = load_target(arguments.target)
    cases: dict[str, Any] = {}
    for title, (widths, divisor) in NETWORKS.items():
        model = int8_model(widths)
        noise = Noise(*[arguments.share / divisor] * 3)
        with tempfile.TemporaryDirectory() as folder:
            try:
                image = build_firmware(
                    read_tflite(model), model, target, emulated_board(target), "network", Path(folder)
                )
                runs = {
                    "clean": (Noise(), arguments.steps // divisor // 10, False),
                    "noisy": (noise, arguments.steps // divisor // 10, False),
                    "noisy, one reset": (noise, arguments.steps // divisor, True),
                }
                for name, (of, steps, reset) in runs.items():
                    row = driven(model, image, target, of, steps, reset)
                    cases[f"{title}: {name}"] = row
                    print(
                        f"{title}, {name}: {steps} steps in {row['seconds']:.1f} s, {row['wrong_outputs']} wrong"
                    )
            except SecateurError as error:
                raise SystemExit(str(error)) from error
    document = {
        "command": f"python bench/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}",
        "target": target.name,
        "board": emulated_board(target).name,
        "cases": cases,
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULTS, to_json(document))
    write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
