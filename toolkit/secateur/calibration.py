"""Calibration on the states that the int8 policy itself meets.

A policy that hardly errs visits a small region, and ranges from there leave its int8 copy, which errs a little more,
blind outside of it: it saturates and falls. So the int8 policy is rolled out too, what it met is added, and it is
quantised again, until it does as well as in float or the rounds are up (docs/adr/0005).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.device.devices import open_devices
from secateur.export.flows import Models, Quantizer, parts_storing
from secateur.pipeline import Share
from secateur.policy.parts import parts_of
from secateur.policy.policy import Policy, Task
from secateur.policy.unroll import fed_back
from secateur.prune.states import met_inputs, samples_of_parts
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.target.computer import Computer
from secateur.target.target import Target
from secateur.verify.firmware import FirmwareController

STATES = 512
"""Samples that each rollout adds."""

ROUNDS, WITHIN = 4, 0.005
"""Quantisations at most, and the share of return that int8 may lose without another one."""


def calibrate(
    task: Task,
    target: Target | Computer,
    models: Models,
    policy: Policy,
    seeds: Sequence[int],
    build: Path,
    share: Share,
    device: str = "emulator",
    quantizer: Quantizer | None = None,
    device_task: Task | None = None,
) -> dict[str, bytes]:
    """The quantised model of each part, by return the best of a few calibrations.

    Args:
        task: what the policy does.
        target: its core is emulated.
        models: part → its float32 .tflite.
        policy: in torch. Its states at what a quantised policy met are those that it has there itself.
        seeds: of the episodes that states are taken from and returns are compared on.
        build: a folder for what is built on the way.
        share: told of progress.
        device: that runs the quantised policy; ``emulator`` and ``tflm`` give the same bytes, ``litert`` its own.
        quantizer: float .tflites and samples → the models; by default int8, with the states that the policy feeds back.
        device_task: the task with ``to_inputs`` as the models take them, where that is not as torch does.
    """
    parts = parts_of(policy, task.control_hz)
    quantizer = quantizer or parts_storing("int8", parts, fed_back(policy, policy.entry()))
    rolled = rollouts(task, torch_controller(policy, task), seeds)
    wanted = float(np.mean([t.return_ for t in rolled]))
    samples = samples_of_parts(policy, met_inputs(task, rolled, policy), STATES)
    best: tuple[float, dict[str, bytes]] | None = None
    for number in range(ROUNDS):
        quantized = quantizer(models, samples)
        with open_devices(device, quantized, parts, target, build) as opened:
            rolled = rollouts(task, FirmwareController(opened, device_task or task, parts), seeds)
        reached = float(np.mean([t.return_ for t in rolled]))
        share((number + 1) / ROUNDS, f"quantised return {reached:.1f}, float {wanted:.1f}")
        if best is None or reached > best[0]:
            best = (reached, quantized)
        if reached >= wanted - WITHIN * abs(wanted):
            break
        more = samples_of_parts(policy, met_inputs(task, rolled, policy), STATES)
        samples = {
            part: {name: np.concatenate([array, more[part][name]]) for name, array in arrays.items()}
            for part, arrays in samples.items()
        }
    assert best is not None
    return best[1]
