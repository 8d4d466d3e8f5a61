"""Networks that run less often than control: parts that count control steps, components that go by the clock.

Copied to robots beside robot.py, where a policy has them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np


class Slower:
    """A component that runs at a rate of its own: its outputs stand until it is due again."""

    def __init__(self, network: Any, period_s: float) -> None:
        self.network, self.period_s = network, period_s
        self.reset()

    def reset(self) -> None:
        """Due at once."""
        self.due, self.outputs = -np.inf, {}  # type: float, dict[str, np.ndarray]

    def __call__(self, inputs: dict[str, Any], now: float) -> dict[str, np.ndarray]:
        """Outputs that stand at a time, in seconds."""
        if not self.outputs or now >= self.due:
            self.outputs = self.network(inputs)
            late = now - self.due
            self.due = self.due + self.period_s if 0 <= late < self.period_s else now + self.period_s
        return self.outputs


class Held:
    """A part that runs once in so many control steps; what it makes is used so many steps later, and then stands.

    The first time it is used at once: the robot looks before it moves. With a worker it runs in the background until
    it is used; what is used when is the same.
    """

    def __init__(self, network: Any, period: int, late: int, worker: Any) -> None:
        self.network, self.period, self.late, self.worker = network, period, late, worker
        self.reset()

    def reset(self) -> None:
        """An episode starts."""
        self.step = 0
        self.made: list[tuple[int, Callable[[], dict[str, np.ndarray]]]] = []

    def __call__(self, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Outputs that stand in the next control step."""
        if self.step % self.period == 0:
            seen = {name: np.array(values) for name, values in inputs.items()}
            if self.worker is None:
                outputs = self.network(seen)
                self.made.append((self.step + self.late if self.step else 0, lambda: outputs))
            else:
                run = self.worker.submit(self.network, seen)
                self.made.append((self.step + self.late if self.step else 0, run.result))
        while len(self.made) > 1 and self.made[1][0] <= self.step:
            del self.made[0]
        self.step += 1
        return self.made[0][1]()


def held_parts(
    folder: Path, files: list[dict[str, Any]], load: Callable[[str, dict[str, Any]], Any], background: bool
) -> list[tuple[dict[str, Any], Held]]:
    """The parts in the order of policy.json.

    Args:
        folder: that the files are in.
        files: their records.
        load: (path, signature) → network.
        background: run those that are slower than the control rate in a thread of their own.

    Returns:
        Signature and part of each.
    """
    slow = any(file["period"] > 1 for file in files)
    worker = ThreadPoolExecutor(1) if background and slow else None
    made = []
    for file in files:
        signature, period = file["signatures"][0], file["period"]
        network = load(str(folder / file["file"]), signature)
        made.append((signature, Held(network, period, file["late"], worker if period > 1 else None)))
    return made
