"""The stages of a planner's run that are not those of ``secateur.stages``: each writes its own folder."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.choosing import visited_states
from secateur.errors import SecateurError
from secateur.export.litert import run_signature
from secateur.export.planner import (
    Calls,
    planner_answers,
    planner_calls,
    planner_tflite,
    quantised_planner,
    signature_name,
)
from secateur.figures import draw
from secateur.job import Job
from secateur.openers import bundled, described, original_of
from secateur.pipeline import Share
from secateur.planner import settings as planner_settings
from secateur.planner.bundle import FOLDER, bundle, exported, write_bundle
from secateur.planner.controller import BundleController
from secateur.policy.planning import PlannerSettings
from secateur.policy.policy import Policy
from secateur.pricing import convert_template
from secateur.prune.limits import Price
from secateur.prune.sensitivity import planned
from secateur.prune.states import evenly, visited_inputs
from secateur.prune.strategies import STRATEGIES
from secateur.records import Cost, Parity
from secateur.report.rates import Board
from secateur.report.summary import summary
from secateur.runfolder import RunFolder, read_document, to_json, widths_of, write_atomically
from secateur.runparts import PARTS
from secateur.shipped import absolute_target
from secateur.simulate.parallel import CALM, episodes
from secateur.simulate.planner import policy_controller
from secateur.simulate.rollout import Trajectory
from secateur.stages import (
    STATES_EPISODES,
    closed_loop_of,
    provenance_of,
    pruned_of,
    recovered_policy,
    reported,
    told_of_episodes,
)
from secateur.target.computer import Computer
from secateur.target.planning import WEIGHT_BYTES, PlanPrice
from secateur.verify.paired import ended, evaluate_pair
from secateur.verify.parity import max_abs_error
from secateur.verify.verdict import judge
from secateur.workers import Workers

PLANNED_EPISODES = 8
"""Episodes of the planner that states are taken from, beside those of the policy alone."""

STATES = 4096
"""States that are kept of either."""

CALIBRATED_STATES, CHECKED_STATES = 48, 16
"""Decisions whose calls ranges are taken from, and others on which the files are held against torch."""


@dataclass(frozen=True)
class Made:
    """The folders of the finished stages that a run with a bundle is published from."""

    widths: Path
    policy: Path
    export: Path
    loop: Path
    figures: Path


@dataclass(frozen=True)
class MadePlanner(Made):
    """The same of a planner, with the stages that it alone has."""

    settings: Path
    original: Path


def plan_price(job: Job) -> PlanPrice:
    """Converts every entry of the planner, at two widths each."""
    planning = job.policy.planning
    assert planning is not None
    dtype = job.dtype
    templates = {entry: convert_template(job.policy, job.graph, entry, dtype) for entry in planning.entries}
    return PlanPrice(job.graph, planning, templates, job.computer, dtype, job.task.control_hz)


def cheapest(price: PlanPrice) -> Price:
    """The price at the cheapest settings that are tried."""
    least = min(planner_settings.grid(price.planning.settings), key=lambda s: price({}, s).macs)
    return lambda widths: price(widths, least)


def priced_at(price: PlanPrice, settled: Path) -> Price:
    """The price at the settings that were chosen."""
    chosen = _settings(settled)
    return lambda widths: price(widths, chosen)


def choose_settings(
    job: Job, price: PlanPrice, to: Path, share: Share, workers: Workers | None = None
) -> None:
    """Writes ``settings.json``: what was chosen and all that was tried."""
    least = STRATEGIES[job.request.strategy].least(job.graph)
    widths = {**job.graph.full, **{name: least[name] for name in job.cuttable}}
    seeds = job.seeds("settings", planner_settings.EPISODES)

    def judge(policy: Policy) -> float:
        original = original_of(replace(job, policy=policy), workers)
        return float(np.mean([e.return_ for e in episodes(original, seeds, CALM, workers, ended)]))

    chosen, tried = planner_settings.choose(job.policy, judge, price, job.budget, widths, share)
    record = {"chosen": asdict(chosen), "tried": [one.plain() for one in tried]}
    write_atomically(to / "settings.json", to_json(record))


def _settings(settled: Path) -> PlannerSettings:
    return PlannerSettings(**read_document(settled / "settings.json")["chosen"])


def at_settings(job: Job, settled: Path) -> Job:
    """The job with the original planning as much as was chosen."""
    return replace(job, policy=planner_settings.with_settings(job.policy, _settings(settled)))


def roll_original(job: Job, to: Path, share: Share, workers: Workers | None = None) -> None:
    """Writes ``visited.npz``: half of the states are the policy's alone, half the planner's; and ``weights.json``.

    The policy alone goes first: what plans hang on is measured on its way. Where its first entry is one of those that
    the planner calls, it cannot act alone, and the planner takes its place.
    """
    assert job.policy.planning is not None
    first = job.policy.entries[0].name
    alone = job.policy if first in job.policy.planning.entries else replace(job.policy, deployed=first)
    seeds = job.seeds("states", STATES_EPISODES)
    rolled: list[Trajectory] = episodes(
        original_of(replace(job, policy=alone), workers),
        seeds,
        workers=workers,
        progress=lambda done, total: share(done / total / 2, f"{done} of {total} episodes"),
    )
    of_policy = visited_inputs(job.task, rolled)
    policy = planned(job.policy, of_policy, job.request.seed)
    rolled = episodes(
        original_of(replace(job, policy=policy), workers),
        seeds[:PLANNED_EPISODES],
        workers=workers,
        progress=lambda done, total: share((1 + done / total) / 2, f"{done} of {total} episodes, planning"),
    )
    of_planner = visited_inputs(job.task, rolled)
    generator = np.random.default_rng(job.request.seed)
    picked = []
    for part in (of_policy, of_planner):
        count = len(next(iter(part.values())))
        rows = generator.permutation(count)[:STATES]
        picked.append({name: tensor.numpy()[rows] for name, tensor in part.items()})
    order = generator.permutation(sum(len(next(iter(part.values()))) for part in picked))
    arrays = {name: np.concatenate([part[name] for part in picked])[order] for name in picked[0]}
    np.savez(to / "visited.npz", **arrays)  # type: ignore[arg-type]
    write_atomically(to / "weights.json", to_json(dict(policy.entry_weights)))


def weighted(job: Job, settled: Path, original: Path) -> Job:
    """The job at the chosen settings, its entries weighted by what plans hang on."""
    job = at_settings(job, settled)
    weights = read_document(original / "weights.json")
    return replace(job, policy=replace(job.policy, entry_weights=weights))


def export(job: Job, original: Path, chosen: Path, recovered: Path, to: Path, share: Share) -> None:
    """Writes the planner in every dtype, ``parity.json``, and the bundle of the dtype asked for."""
    policy = recovered_policy(job, chosen, recovered)
    states = {
        name: torch.from_numpy(array)
        for name, array in evenly(visited_states(original), CALIBRATED_STATES + CHECKED_STATES).items()
    }
    met = planner_calls(policy, {n: a[:CALIBRATED_STATES] for n, a in states.items()}, job.request.seed)
    held_out = planner_calls(policy, {n: a[CALIBRATED_STATES:] for n, a in states.items()}, job.request.seed)
    share(0.1, "converting")
    model = planner_tflite(policy)
    models = {
        dtype: model if dtype == "float32" else quantised_planner(policy, model, dtype, met)
        for dtype in WEIGHT_BYTES
    }
    for dtype, data in models.items():
        (to / f"model.{dtype}.tflite").write_bytes(data)
    share(0.8, "holding it against torch")
    parity = planner_parity(policy, models["float32"], models[job.dtype], held_out)
    write_atomically(to / "parity.json", to_json(asdict(parity)))
    file = exported(policy, job.dtype, models[job.dtype], held_out)
    write_bundle(to / FOLDER, bundle(policy, job.task, file, job.computer))


def planner_parity(policy: Any, float_model: bytes, judged: bytes, calls: Calls) -> Parity:
    """Torch against the float .tflite, and against the one that is judged, over all signatures."""
    answers = planner_answers(policy, calls)

    def worst(model: bytes) -> float:
        return max(
            max_abs_error(answers[name], _shaped(run_signature(model, calls[name], name), answers[name]))
            for name in answers
        )

    return Parity(
        vectors=sum(len(next(iter(arrays.values()))) for arrays in calls.values()),
        float_max_abs_error=worst(float_model),
        int8_mismatched_bytes=None,
        int8_max_abs_error=worst(judged),
        largest_output=max(float(np.abs(a).max()) for named in answers.values() for a in named.values()),
    )


def _shaped(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.reshape(wanted[name].shape) for name, array in got.items()}


def close_loop(
    job: Job,
    price: Price,
    chosen: Path,
    exported: Path,
    to: Path,
    share: Share,
    workers: Workers | None = None,
) -> None:
    """The bundle's program drives the robot, delayed by the worst latency that is predicted; writes ``loop.json``.

    The original acts, or plans, as it was trained to, in torch and without a delay.
    """
    loop = evaluate_pair(
        job.task,
        original_of(job, workers),
        bundled(described(job), exported / FOLDER, absolute_target(job.request.target)),
        job.seeds("verdict", job.request.episodes),
        price(widths_of(chosen)).latency_s.high,
        np.random.default_rng([job.request.seed, 95]),
        workers,
        told_of_episodes(share),
    )
    write_atomically(to / "loop.json", to_json(asdict(loop)))


def draw_figures(job: Job, price: PlanPrice, settled: Path, chosen: Path, exported: Path, to: Path) -> None:
    """Writes what the page draws, the bundle's program at the controls of the film."""
    widths, settings = widths_of(chosen), _settings(settled)

    def costs(board: Board) -> tuple[Cost, Cost]:
        if not isinstance(board, Computer):
            raise SecateurError(
                "a planner runs on a computer",
                f"{board.name} is a microcontroller",
                "Look at the computers.",
            )
        there = PlanPrice(price.graph, price.planning, price.templates, board, price.dtype, price.control_hz)
        return there({}), there(widths, settings)

    controllers = (policy_controller(job.policy, job.task), BundleController(exported / FOLDER, job.task))
    draw(job, widths, costs, controllers, price(widths, settings).latency_s.high, to)


def publish(
    job: Job, price: PlanPrice, folder: RunFolder, made: MadePlanner, command: str, wall_s: float
) -> Mapping[str, Any]:
    """Judges, writes the report, moves the artifacts up and finishes the run. Gives the summary."""
    widths, settings = widths_of(made.widths), _settings(made.settings)
    parity = Parity(**read_document(made.export / "parity.json"))
    loop = closed_loop_of(made.loop)
    before, after = price({}), price(widths, settings)
    provenance = provenance_of(job, command)

    def summarise(artifacts: list[dict[str, Any]]) -> dict[str, Any]:
        return summary(
            **pruned_of(job, made.widths, made.policy),
            baseline=before,
            predicted=after,
            measured=None,
            parity=parity,
            closed_loop=loop,
            verdict=judge(after, None, job.budget, parity, loop, control_period_s=1 / job.task.control_hz),
            artifacts=artifacts,
            wall_s=wall_s,
            provenance=provenance,
            planner=_described(job, price, settings, made),
        )

    return publish_bundle(folder, made, provenance, summarise)


def publish_bundle(
    folder: RunFolder,
    made: Made,
    provenance: Mapping[str, Any],
    summarise: Callable[[list[dict[str, Any]]], dict[str, Any]],
) -> Mapping[str, Any]:
    """Writes the report, moves the artifacts up and finishes the run. Gives the summary."""
    artifacts = {
        **reported(summarise([]), made.figures),
        "widths.json": made.widths / "widths.json",
        "kept.json": made.policy / "kept.json",
        "policy.safetensors": made.policy / "policy.safetensors",
    }
    artifacts |= {path.name: path for path in sorted(made.export.glob("*.tflite"))}
    artifacts |= {path.name: path for path in made.export.glob(PARTS)}
    artifacts |= {
        f"{FOLDER}/{path.name}": path for path in sorted((made.export / FOLDER).iterdir()) if path.is_file()
    }
    folder.publish(artifacts, provenance, summarise)
    return read_document(folder.path / "summary.json")


def _described(job: Job, price: PlanPrice, settings: PlannerSettings, made: MadePlanner) -> dict[str, Any]:
    """``planner`` of the summary: before and after, what a decision calls, and what was tried."""
    return {
        "dtype": job.dtype,
        "before": asdict(price.planning.settings),
        "after": asdict(settings),
        "calls": [
            {**asdict(call), "signature": signature_name(call.entry, call.rows)}
            for call in price.planning.calls(settings)
        ],
        "tried": read_document(made.settings / "settings.json")["tried"],
        "ran_on": f"LiteRT in Python on this machine ({platform.machine()})",
    }
