"""The stage that exports: a policy, in all its parts → .tflite, golden vectors, C."""

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from secateur.artifact import CALIBRATION_EPISODES
from secateur.calibration import calibrate
from secateur.device.devices import open_device
from secateur.device.protocol import Device, run_episodes
from secateur.export.c.handover import part_sources
from secateur.export.read import read_tflite
from secateur.export.states import mark_states
from secateur.export.tflite import to_tflite
from secateur.export.toolchain import write_sources
from secateur.job import Job
from secateur.pipeline import Share
from secateur.policy.policy import Policy
from secateur.policy.unroll import fed_back
from secateur.prune.states import lengths_of, met_inputs, samples_of_parts
from secateur.runparts import golden_file, stems
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.verify.golden import Golden, save_golden
from secateur.verify.quantized import quantize

GOLDEN_EPISODES, GOLDEN_VECTORS = 8, 1024
"""Episodes that golden vectors are taken from, and how many, evenly."""


def export(job: Job, policy: Policy, to: Path, share: Share) -> None:
    """Writes float and int8 .tflite, golden vectors with every reference's answers, and ``c/``; of every part."""
    models = {part.name: to_tflite(policy, part.name) for part in job.parts}
    states = fed_back(policy, policy.entry())
    seeds = job.seeds("calibration", CALIBRATION_EPISODES)
    calibrated = calibrate(job.task, job.board, models, policy, seeds, to / "build", share)
    networks = {name: read_tflite(model) for name, model in calibrated.items()}
    golden = golden_inputs(job, policy)
    for name, stem in stems(job.parts).items():
        (to / f"{stem}.float32.tflite").write_bytes(mark_states(models[name], states))
        (to / f"{stem}.int8.tflite").write_bytes(calibrated[name])
        with closing(open_device("tflm", calibrated[name], job.board, to / "build")) as reference:
            save_golden(golden_of(job, policy, name, golden, reference), to / golden_file(stem))
    write_sources(part_sources(networks, job.parts, job.board, "policy"), to / "c")
    shutil.rmtree(to / "build")


@dataclass(frozen=True, eq=False)
class GoldenInputs:
    """Inputs of every part, part → name → ``[n, ...]``, and the rows that episodes of a recurrent policy begin with."""

    of_parts: Mapping[str, Mapping[str, np.ndarray]]
    starts: tuple[int, ...]


def golden_inputs(job: Job, policy: Policy) -> GoldenInputs:
    """From the policy's own way: evenly over all episodes, or its first steps where it is recurrent.

    Those are episodes one after the other from their start, the last of them cut off at ``GOLDEN_VECTORS``.
    """
    rolled = rollouts(job.task, torch_controller(policy, job.task), job.seeds("golden", GOLDEN_EPISODES))
    met: Mapping[str, torch.Tensor] = met_inputs(job.task, rolled, policy)
    starts: tuple[int, ...] = ()
    if fed_back(policy, policy.entry()):
        begins = np.cumsum([0, *lengths_of(rolled)[:-1]])
        starts = tuple(int(row) for row in begins if row < GOLDEN_VECTORS)
        met = {name: rows[:GOLDEN_VECTORS] for name, rows in met.items()}
    return GoldenInputs(samples_of_parts(policy, met, GOLDEN_VECTORS), starts)


def golden_of(job: Job, policy: Policy, part: str, met: GoldenInputs, reference: Device) -> Golden:
    """Vectors of one part: its inputs, what torch answers, and what the reference does.

    What another part feeds is as that one answers in torch: each part is held against its own references.
    """
    network, inputs = reference.network, met.of_parts[part]
    answers = torch_controller(policy, job.task).infer(inputs, part)
    stored = {name: quantize(inputs[name], network.inputs, network, name) for name in network.external}
    return Golden(inputs, answers, stored, run_episodes(reference, stored, met.starts), met.starts)
