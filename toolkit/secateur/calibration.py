"""Calibration on the states that the int8 policy itself meets.

A policy that hardly errs visits a small region, and ranges from there leave its int8 copy, which errs a little more,
blind outside of it: it saturates and falls. So the int8 policy is rolled out too, what it met is added, and it is
quantised again, until it does as well as in float or the rounds are up (docs/adr/0005).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from secateur.device.devices import open_device
from secateur.export.quantize import quantize
from secateur.policy.policy import Policy, Task
from secateur.prune.states import evenly, met_inputs
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.target.computer import Computer
from secateur.target.target import Target
from secateur.verify.firmware import FirmwareController

Share = Callable[[float, str], None]
"""Told how much of the stage is done, as a share, and a note."""

STATES = 512
"""Samples that each rollout adds."""

ROUNDS, WITHIN = 4, 0.005
"""Quantisations at most, and the share of return that int8 may lose without another one."""


def calibrate(
    task: Task,
    target: Target | Computer,
    model: bytes,
    policy: Policy,
    seeds: Sequence[int],
    build: Path,
    share: Share,
    device: str = "emulator",
    quantizer: Callable[[bytes, Mapping[str, np.ndarray]], bytes] = quantize,
    device_task: Task | None = None,
) -> bytes:
    """The int8 model, by return the best of a few calibrations.

    Args:
        task: what the policy does.
        target: its core is emulated.
        model: float32 .tflite of the policy.
        policy: in torch. Its states at what a quantised policy met are those that it has there itself.
        seeds: of the episodes that states are taken from and returns are compared on.
        build: a folder for what is built on the way.
        share: told of progress.
        device: that runs the quantised policy; ``emulator`` and ``tflm`` give the same bytes, ``litert`` its own.
        quantizer: float .tflite and samples → the model.
        device_task: the task with ``to_inputs`` as the model takes them, where that is not as torch does.
    """
    rolled = rollouts(task, torch_controller(policy, task), seeds)
    wanted = float(np.mean([t.return_ for t in rolled]))
    samples = evenly(met_inputs(task, rolled, policy), STATES)
    best: tuple[float, bytes] | None = None
    for number in range(ROUNDS):
        quantized = quantizer(model, samples)
        with closing(open_device(device, quantized, target, build)) as opened:
            rolled = rollouts(task, FirmwareController(opened, device_task or task), seeds)
        reached = float(np.mean([t.return_ for t in rolled]))
        share((number + 1) / ROUNDS, f"quantised return {reached:.1f}, float {wanted:.1f}")
        if best is None or reached > best[0]:
            best = (reached, quantized)
        if reached >= wanted - WITHIN * abs(wanted):
            break
        more = evenly(met_inputs(task, rolled, policy), STATES)
        samples = {name: np.concatenate([array, more[name]]) for name, array in samples.items()}
    assert best is not None
    return best[1]
