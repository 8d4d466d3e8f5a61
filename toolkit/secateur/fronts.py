"""Not one budget but a front: what is kept of the return at every size between the least and the whole.

Each point goes through the stages of ``prune`` up to recovery. Its cost is predicted, its return is that of the
recovered policy in torch; a point that is to be flashed is pruned to by its budget, and measured.
"""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur import stages
from secateur.errors import require_known
from secateur.pipeline import Progress, PruneRequest
from secateur.policy.policy import Policy
from secateur.prune.limits import Price
from secateur.prune.strategies import STRATEGIES
from secateur.records import Limits
from secateur.report.front import render_front
from secateur.runfolder import RunFolder, read_finished, to_json, write_atomically
from secateur.simulate.controller import torch_controller
from secateur.simulate.rollout import rollouts
from secateur.target.by_width import PriceByWidth
from secateur.verify.statistics import paired_interval

RESOURCES = {"flash": "flash_bytes", "ram": "ram_bytes", "latency": "latency_s"}


def pareto(
    request: PruneRequest,
    resource: str,
    points: int,
    output: Path,
    resume: bool,
    command: str,
    progress: Progress,
) -> Mapping[str, Any]:
    """Return against one resource, at ``points`` limits in equal ratios from the least to the whole; best first.

    Args:
        request: as for ``prune``; its other limits hold at every point.
        resource: key of ``RESOURCES``.
        points: how many.
        output: folder of the result, as a run's.
        resume: go on with one that was killed.
        command: that asked for it.
        progress: told of stages.

    Raises:
        BudgetInfeasible: before anything is written.
        SecateurError: a request that cannot be carried out, or a folder that must not be written to.
    """
    require_known("resource", resource, RESOURCES)
    job = stages.prepare(request)
    folder = RunFolder(output, {**job.identity, "pareto": resource, "points": points}, resume)
    if folder.finished:
        folder.tidy()
        return read_finished(output)
    progress.stage("converting the original to price it")
    price = PriceByWidth(stages.convert_template(job.policy, job.graph), job.target)
    stages.require_feasible(job, price)
    limits = _limits(job, price, resource, points)
    with folder:

        def stage(name: str, title: str, produce: Callable[[Path], None]) -> Path:
            progress.stage(title)
            return folder.stage(name, produce)

        original = stage(
            "original", "rolling the original out", lambda to: stages.roll_original(job, to, progress.share)
        )
        before = stage("before", "returns of the original", lambda to: _returns(job, job.policy, to))
        artifacts: dict[str, Path] = {}

        def point(number: int, limit: float) -> dict[str, Any]:
            one, title = _limited(job, resource, limit), f"point {number + 1} of {len(limits)}"
            chosen = stage(
                f"widths{number}",
                f"{title}: choosing widths",
                lambda to: stages.choose_widths(one, price, original, to, progress.share),
            )
            recovered = stage(
                f"policy{number}",
                f"{title}: cutting and recovering",
                lambda to: stages.cut_and_recover(one, original, chosen, to, progress.share),
            )
            after = stage(
                f"after{number}",
                f"{title}: returns",
                lambda to: _returns(one, stages.recovered_policy(one, chosen, recovered), to),
            )
            artifacts[f"point{number}/widths.json"] = chosen / "widths.json"
            artifacts[f"point{number}/policy.safetensors"] = recovered / "policy.safetensors"
            widths = json.loads((chosen / "widths.json").read_bytes())
            return _point(widths, price, limit, _read(before), _read(after))

        found = [point(number, limit) for number, limit in enumerate(limits)]
        provenance = {
            "command": {"line": command, "seed": request.seed},
            "versions": stages.versions(),
            "machine": {"system": platform.system(), "processor": platform.machine()},
        }
        document = {
            "schema": 1,
            "kind": "pareto",
            "policy": job.policy.name,
            "target": job.target.name,
            "strategy": request.strategy,
            "resource": RESOURCES[resource],
            "episodes": request.episodes,
            "points": found,
        }
        page = original.parent / "report.html"
        write_atomically(page, render_front(document).encode())
        folder.publish(
            {"report.html": page, **artifacts}, provenance, lambda listed: {**document, "artifacts": listed}
        )
        return json.loads((folder.path / "summary.json").read_bytes())


def _limits(job: stages.Job, price: Price, resource: str, points: int) -> list[float]:
    """Limits from what the least widths take, a little above, to what the whole takes."""
    least = {**job.graph.full, **_least(job)}
    low, high = (_read_cost(price(widths), resource) for widths in (least, job.graph.full))
    given = getattr(job.request.budget.total, RESOURCES[resource])
    high = min(high, given) if given is not None else high
    values = np.geomspace(low * 1.02, max(high, low * 1.02), max(2, points))
    return [float(value) if resource == "latency" else int(value) for value in values]


def _least(job: stages.Job) -> dict[str, int]:
    least = STRATEGIES[job.request.strategy].least(job.graph)
    return {name: least[name] for name in job.cuttable}


def _limited(job: stages.Job, resource: str, limit: float) -> stages.Job:
    total: Limits = replace(job.budget.total, **{RESOURCES[resource]: limit})  # type: ignore[arg-type]
    return replace(job, budget=replace(job.budget, total=total))


def _read_cost(cost: Any, resource: str) -> float:
    value = getattr(cost, RESOURCES[resource])
    return float(value.high if resource == "latency" else value)


def _returns(job: stages.Job, policy: Policy, to: Path) -> None:
    episodes = rollouts(
        job.task, torch_controller(policy, job.task), job.seeds("verdict", job.request.episodes)
    )
    write_atomically(to / "returns.json", to_json([episode.return_ for episode in episodes]))


def _read(folder: Path) -> np.ndarray:
    return np.array(json.loads((folder / "returns.json").read_bytes()))


def _point(
    widths: dict[str, int], price: Price, limit: float, before: np.ndarray, after: np.ndarray
) -> dict[str, Any]:
    cost = price(widths)
    kept, interval = paired_interval(before, after, np.random.default_rng(0))
    return {
        "limit": limit,
        "predicted": {
            "parameters": cost.parameters,
            "flash_bytes": cost.flash_bytes,
            "ram_bytes": cost.ram_bytes,
            "latency_s": cost.latency_s.high,
        },
        "return_kept": kept,
        "ci95": list(interval),
        "widths": widths,
    }
