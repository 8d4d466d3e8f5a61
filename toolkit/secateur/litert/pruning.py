"""The story of ``secateur prune`` for a computer, where the deployed entry is pruned; a planner has its own.

policy → component graph → what fits, by the computer's latency model → widths → surgery → recovery
       → .tflite in the dtype asked for, and the program around it → the program in closed loop → verdict → report
"""

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.artifact import CALIBRATION_EPISODES
from secateur.calibration import STATES
from secateur.choosing import Original
from secateur.figures import costs_on, draw
from secateur.graph.template import Template
from secateur.job import Job, prepare
from secateur.litert.export import Exported, Wish, export_files
from secateur.litert.sidecar import sidecar
from secateur.litert.source import Source, file_stem
from secateur.litert.story import laid_out
from secateur.pipeline import Progress, PruneRequest, Share
from secateur.planner.bundle import FOLDER, write_bundle
from secateur.planner.controller import BundleController
from secateur.planner.stages import Made, close_loop, publish_bundle
from secateur.pricing import price_on_computer, require_feasible, templates_of
from secateur.prune.limits import Price
from secateur.prune.states import evenly, visited_inputs
from secateur.records import Parity
from secateur.report.summary import part_records, summary
from secateur.runfolder import (
    RunFolder,
    read_document,
    read_finished,
    to_json,
    widths_of,
    write_atomically,
)
from secateur.runparts import PARTS, parts_json, stems
from secateur.shared import SharedStages
from secateur.simulate.controller import torch_controller
from secateur.simulate.planner import policy_controller
from secateur.simulate.rollout import rollouts
from secateur.stages import (
    STATES_EPISODES,
    Running,
    closed_loop_of,
    of_rollouts,
    provenance_of,
    pruned_of,
    recovered_policy,
    roll_original,
)
from secateur.target.schedule import late_periods
from secateur.verify.parity import parity_of_parts
from secateur.verify.verdict import judge
from secateur.workers import Workers


def prune_for_computer(
    request: PruneRequest,
    output: Path,
    resume: bool,
    command: str,
    progress: Progress,
    shared: SharedStages | None = None,
    workers: Workers | None = None,
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
    templates = templates_of(job, shared, job.dtype)
    price = price_of(job, templates)
    require_feasible(job, price)

    with folder:
        if folder.finished:  # by another process, while this one was converting
            return read_finished(output)

        run = Running(folder, progress, shared)
        rolled = run.stage(
            "original",
            "rolling the original out",
            lambda to, share: roll_original(job, to, share, workers),
            of_rollouts(job, STATES_EPISODES),
        )
        chosen, recovered = run.pruned(job, price, Original(job, rolled))
        exported = run.stage(
            "export",
            "exporting to .tflite",
            lambda to, share: export(job, price, chosen, recovered, to, share),
        )
        looped = run.stage(
            "loop",
            "closing the loop",
            lambda to, share: close_loop(job, price, chosen, exported, to, share, workers),
        )
        drawn = run.stage(
            "figures",
            "drawing the figures of the report",
            lambda to, _: draw_figures(job, templates, price, chosen, exported, to),
        )
        progress.stage("writing the report")
        made = Made(chosen, recovered, exported, looped, drawn)
        return publish(job, price, folder, made, command, time.perf_counter() - started + folder.earlier_s)


def price_of(job: Job, templates: Mapping[str, Template]) -> Price:
    """Widths → predicted cost of a control step on the job's computer, from every part's template."""
    rate_hz = job.task.control_hz
    return price_on_computer(templates, job.policy, job.parts, rate_hz, job.computer, job.dtype)


def draw_figures(
    job: Job, templates: Mapping[str, Template], price: Price, chosen: Path, exported: Path, to: Path
) -> None:
    """Writes what the page draws, the bundle's program at the controls of the film."""
    widths = widths_of(chosen)
    controllers = (policy_controller(job.policy, job.task), BundleController(exported / FOLDER, job.task))
    costs = costs_on(job, templates, job.dtype, widths)
    draw(job, widths, costs, controllers, price(widths).latency_s.high, to)


def export(job: Job, price: Price, chosen: Path, recovered: Path, to: Path, share: Share) -> None:
    """Writes the float .tflite and that of the dtype asked for, ``parity.json``, and the bundle."""
    policy = recovered_policy(job, chosen, recovered)
    seeds = job.seeds("calibration", CALIBRATION_EPISODES)
    rolled = rollouts(job.task, torch_controller(policy, job.task), seeds)
    states = evenly(visited_inputs(job.task, rolled, policy), 2 * STATES)
    visited = {name: torch.from_numpy(array) for name, array in states.items()}
    source = Source(policy.name, file_stem(policy.name), policy, job.task, visited, tuple(seeds))
    late = late_periods(price(widths_of(chosen)).parts, job.parts, job.task.control_hz)
    made: dict[str, tuple[Exported, ...]] = {}
    for dtype in dict.fromkeys(("float32", job.dtype)):
        made[dtype] = export_files(source, job.computer, Wish(dtype, late=late), lambda _: {}, share)
        for stem, file in zip(stems(job.parts).values(), made[dtype]):
            (to / f"{stem}.{dtype}.tflite").write_bytes(file.model)
    calls, parities = source.calls(), {}
    for part, real, deployed in zip(job.parts, made["float32"], made[job.dtype]):
        parities[part.name] = Parity(
            vectors=deployed.accuracy[part.name].rows,
            float_max_abs_error=real.accuracy[part.name].max_abs_error,
            int8_mismatched_bytes=None,
            int8_max_abs_error=deployed.accuracy[part.name].max_abs_error,
            largest_output=max(float(np.abs(a).max()) for a in calls[part.name].outputs.values()),
        )
    if len(job.parts) > 1:
        write_atomically(to / PARTS, parts_json(job.parts))
        each = {name: asdict(one) for name, one in parities.items()}
        write_atomically(to / "parities.json", to_json(each))
    parity, files = parity_of_parts(parities), made[job.dtype]
    write_atomically(to / "parity.json", to_json(asdict(parity)))
    write_bundle(to / FOLDER, laid_out(files, sidecar(source, files), job.computer, "python"))


def publish(
    job: Job, price: Price, folder: RunFolder, made: Made, command: str, wall_s: float
) -> Mapping[str, Any]:
    """Judges, writes the report, moves the artifacts up and finishes the run. Gives the summary."""
    after = price(widths_of(made.widths))
    parity = Parity(**read_document(made.export / "parity.json"))
    loop = closed_loop_of(made.loop)
    provenance = provenance_of(job, command)
    each = made.export / "parities.json"
    parities = read_document(each) if each.is_file() else {}
    late = late_periods(after.parts, job.parts, job.task.control_hz)

    def summarise(artifacts: list[dict[str, Any]]) -> dict[str, Any]:
        return summary(
            **pruned_of(job, made.widths, made.policy),
            parts=part_records(job.parts, after, None, parities, late),
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
