"""The story of ``secateur prune`` for a computer, where the deployed entry is pruned; a planner has its own.

policy → component graph → what fits, by the computer's latency model → widths → surgery → recovery
       → .tflite in the dtype asked for, and the program around it → the program in closed loop → verdict → report
"""

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.artifact import CALIBRATION_EPISODES
from secateur.calibration import STATES, Share
from secateur.choosing import Original
from secateur.figures import costs_on, draw
from secateur.graph.template import Template
from secateur.job import Job, prepare
from secateur.litert.export import Exported, Wish, export_files
from secateur.litert.sidecar import sidecar
from secateur.litert.source import Source, file_stem
from secateur.litert.story import laid_out
from secateur.pipeline import Progress, PruneRequest
from secateur.planner.bundle import FOLDER, write_bundle
from secateur.planner.controller import BundleController
from secateur.planner.stages import Made, close_loop, publish_bundle
from secateur.prune.limits import Price
from secateur.prune.states import evenly, visited_inputs
from secateur.records import Parity
from secateur.report.summary import summary
from secateur.runfolder import RunFolder, read_finished, to_json, write_atomically
from secateur.simulate.controller import torch_controller
from secateur.simulate.planner import policy_controller
from secateur.simulate.rollout import rollouts
from secateur.stages import (
    Running,
    closed_loop_of,
    convert_template,
    provenance_of,
    pruned_of,
    recovered_policy,
    require_feasible,
    roll_original,
    widths_of,
)
from secateur.target.on_computer import PriceOnComputer
from secateur.target.step import per_step
from secateur.verify.verdict import judge


def prune_for_computer(
    request: PruneRequest, output: Path, resume: bool, command: str, progress: Progress
) -> Mapping[str, Any]:
    """Runs the chain and gives the summary.

    Raises:
        BudgetInfeasible: before anything is written.
        SecateurError: a request that cannot be carried out, or a folder that must not be written to.
    """
    started = time.perf_counter()
    job = prepare(request)
    folder = RunFolder(output, job.identity, resume)
    if folder.finished:
        folder.tidy()
        return read_finished(output)
    progress.stage("converting the original to price it")
    template = convert_template(job.policy, job.graph, dtype=job.dtype)
    price = price_of(job, template)
    require_feasible(job, price)

    with folder:
        if folder.finished:  # by another process, while this one was converting
            return read_finished(output)

        run = Running(folder, progress)
        rolled = run.stage(
            "original", "rolling the original out", lambda to, share: roll_original(job, to, share)
        )
        chosen, recovered = run.pruned(job, price, Original(job, rolled))
        exported = run.stage(
            "export", "exporting to .tflite", lambda to, share: export(job, chosen, recovered, to, share)
        )
        looped = run.stage(
            "loop",
            "closing the loop",
            lambda to, share: close_loop(job, price, chosen, exported, to, share),
        )
        drawn = run.stage(
            "figures",
            "drawing the figures of the report",
            lambda to, _: draw_figures(job, template, price, chosen, exported, to),
        )
        progress.stage("writing the report")
        made = Made(chosen, recovered, exported, looped, drawn)
        return publish(job, price, folder, made, command, time.perf_counter() - started + folder.earlier_s)


def price_of(job: Job, template: Template | None = None) -> Price:
    """Widths → predicted cost of a control step on the job's computer, in the dtype asked for."""
    template = template or convert_template(job.policy, job.graph, dtype=job.dtype)
    return per_step(PriceOnComputer(template, job.computer, job.dtype), job.policy, job.task.control_hz)


def draw_figures(job: Job, template: Template, price: Price, chosen: Path, exported: Path, to: Path) -> None:
    """Writes what the page draws, the bundle's program at the controls of the film."""
    widths = widths_of(chosen)
    controllers = (policy_controller(job.policy, job.task), BundleController(exported / FOLDER, job.task))
    costs = costs_on(job, {job.parts[0].name: template}, job.dtype, widths)
    draw(job, widths, costs, controllers, price(widths).latency_s.high, to)


def export(job: Job, chosen: Path, recovered: Path, to: Path, share: Share) -> None:
    """Writes the float .tflite and that of the dtype asked for, ``parity.json``, and the bundle."""
    policy = recovered_policy(job, chosen, recovered)
    seeds = job.seeds("calibration", CALIBRATION_EPISODES)
    rolled = rollouts(job.task, torch_controller(policy, job.task), seeds)
    states = evenly(visited_inputs(job.task, rolled), 2 * STATES)
    visited = {name: torch.from_numpy(array) for name, array in states.items()}
    source = Source(policy.name, file_stem(policy.name), policy, job.task, visited, tuple(seeds))
    made: dict[str, Exported] = {}
    for dtype in dict.fromkeys(("float32", job.dtype)):
        (made[dtype],) = export_files(source, job.computer, Wish(dtype), lambda _: {}, share)
        (to / f"model.{dtype}.tflite").write_bytes(made[dtype].model)
    deployed, entry = made[job.dtype], policy.deployed
    outputs = source.calls()[entry].outputs
    parity = Parity(
        vectors=deployed.accuracy[entry].rows,
        float_max_abs_error=made["float32"].accuracy[entry].max_abs_error,
        int8_mismatched_bytes=None,
        int8_max_abs_error=deployed.accuracy[entry].max_abs_error,
        largest_output=max(float(np.abs(array).max()) for array in outputs.values()),
    )
    write_atomically(to / "parity.json", to_json(asdict(parity)))
    write_bundle(to / FOLDER, laid_out([deployed], sidecar(source, [deployed]), job.computer, "python"))


def publish(
    job: Job, price: Price, folder: RunFolder, made: Made, command: str, wall_s: float
) -> Mapping[str, Any]:
    """Judges, writes the report, moves the artifacts up and finishes the run. Gives the summary."""
    after = price(widths_of(made.widths))
    parity = Parity(**json.loads((made.export / "parity.json").read_bytes()))
    loop = closed_loop_of(made.loop)
    provenance = provenance_of(job, command)

    def summarise(artifacts: list[dict[str, Any]]) -> dict[str, Any]:
        return summary(
            **pruned_of(job, made.widths, made.policy),
            baseline=price({}),
            predicted=after,
            measured=None,
            parity=parity,
            closed_loop=loop,
            verdict=judge(after, None, job.budget, parity, loop, control_period_s=1 / job.task.control_hz),
            artifacts=artifacts,
            wall_s=wall_s,
            provenance=provenance,
            computer={
                "dtype": job.dtype,
                "ran_on": f"LiteRT in Python on this machine ({platform.machine()})",
            },
        )

    return publish_bundle(folder, made, provenance, summarise)
