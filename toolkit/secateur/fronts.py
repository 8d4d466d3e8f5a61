"""Not one budget but a front: what is kept of the return, or of stability, at sizes between the least and the whole.

Each point goes through the stages of ``prune`` up to recovery. Its cost is predicted; its return and its margin are
those of the recovered policy in torch. A point that is to be flashed is pruned to by its budget, and measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur import pricing, stages
from secateur.choosing import Original
from secateur.errors import UsageError, require_known
from secateur.job import Job, prepare
from secateur.openers import original_of, recovered_of
from secateur.pipeline import Progress, PruneRequest, Share
from secateur.prune.limits import Price
from secateur.prune.strategies import STRATEGIES
from secateur.report.front import render_front
from secateur.runfolder import (
    RunFolder,
    read_document,
    read_finished,
    to_json,
    widths_of,
    write_atomically,
)
from secateur.simulate.parallel import CALM, Opener, close_all, episodes
from secateur.simulate.rollout import Trajectory
from secateur.verify.frontier import FrontierPoint, frontier
from secateur.verify.paired import ended
from secateur.verify.stability import StabilityMargin, assess, fit_criterion
from secateur.verify.state_space import latent_of, observed
from secateur.verify.statistics import paired_interval
from secateur.workers import Workers

RESOURCES = {"flash": "flash_bytes", "ram": "ram_bytes", "latency": "latency_s"}
STABILITY_EPISODES = 16
"""That the criterion is fitted on, and judged on: the same starts."""


def draw(
    request: PruneRequest,
    resource: str | None,
    points: int,
    kind: str | None,
    output: Path,
    resume: bool,
    command: str,
    progress: Progress,
    workers: Workers | None = None,
) -> Mapping[str, Any]:
    """The front that the command line asks for: ``pareto`` of a resource, or one of ``FRONTIERS``.

    Raises:
        UsageError: both are asked for. Others as of ``pareto``.
    """
    if kind is None:
        return pareto(request, str(resource), points, output, resume, command, progress, workers)
    if resource is not None:
        raise UsageError(
            "one front is drawn at a time", "got --pareto and --frontier", "Leave one of them out."
        )
    require_known("frontier", kind, FRONTIERS)
    return FRONTIERS[kind](request, output, resume, command, progress, workers)


def pareto(
    request: PruneRequest,
    resource: str,
    points: int,
    output: Path,
    resume: bool,
    command: str,
    progress: Progress,
    workers: Workers | None = None,
) -> Mapping[str, Any]:
    """Return against one resource, at ``points`` limits in equal ratios from the least to the whole.

    Args:
        request: as for ``prune``; its other limits hold at every point.
        resource: key of ``RESOURCES``.
        points: how many.
        output: folder of the result, as a run's.
        resume: go on with one that was killed.
        command: that asked for it.
        progress: told of stages.
        workers: who runs episodes; None for this process.

    Raises:
        BudgetInfeasible: before anything is written.
        SecateurError: a request that cannot be carried out, or a folder that must not be written to.
    """
    require_known("resource", resource, RESOURCES)

    def draw(sizes: "_Sizes") -> dict[str, Any]:
        before = sizes.returns("before", "returns of the original", sizes.whole)
        found = []
        for number, limit in enumerate(_between(*sizes.ends(), points)):
            name, title = f"point{number}", f"point {number + 1} of {points}"
            widths, pruned = sizes.at(name, title, limit)
            after = sizes.returns(f"after-{name}", f"{title}: returns", pruned)
            kept, interval = paired_interval(before, after, np.random.default_rng(0))
            found.append(sizes.point(widths, limit) | {"return_kept": kept, "ci95": list(interval)})
        return {"kind": "pareto", "episodes": request.episodes, "points": found}

    return _front(
        *(request, resource, {"pareto": resource, "points": points}, output, resume, command, progress),
        *(workers, draw),
    )


def stability(
    request: PruneRequest,
    output: Path,
    resume: bool,
    command: str,
    progress: Progress,
    workers: Workers | None = None,
) -> Mapping[str, Any]:
    """The smallest flash at which the pruned controller still settles as the original does (docs/stability.md).

    Judged in the latent of the original where a policy has an encoder of its own, otherwise in observations.

    Args:
        request: as for ``prune``; its other limits hold at every point.
        output: folder of the result, as a run's.
        resume: go on with one that was killed.
        command: that asked for it.
        progress: told of stages.
        workers: who runs episodes; None for this process.

    Raises:
        BudgetInfeasible: before anything is written.
        SecateurError: a request that cannot be carried out, an original that does not settle, or a folder that must
            not be written to.
    """

    def draw(sizes: "_Sizes") -> dict[str, Any]:
        job = sizes.job
        latent = job.policy.planning is not None
        to_state = (
            latent_of(job.policy, job.task, job.policy.planning.encode) if job.policy.planning else observed
        )
        criterion = fit_criterion(sizes.episodes(sizes.whole), to_state)
        low, high = sizes.ends()
        costs: dict[float, dict[str, Any]] = {}

        def margin_at(share: float) -> StabilityMargin:
            limit = int(share * high)
            name = f"at{limit}"
            widths, pruned = sizes.at(name, f"{limit} B of flash", limit)
            margin = assess(criterion, sizes.episodes(pruned), np.random.default_rng(0), to_state)
            costs[share] = sizes.point(widths, limit) | {"folder": name}
            return margin

        found = frontier(margin_at, low / high, 1.0)

        def plain(point: FrontierPoint) -> dict[str, Any]:
            margin = None if point.margin is None else asdict(point.margin)
            return costs.get(point.level, {}) | {
                "kept": point.kept,
                "margin": margin,
                "refused": point.refused,
            }

        tried = sorted(found.points, key=lambda point: -point.level)
        return {
            "kind": "stability",
            "states": "latent" if latent else "observation",
            "episodes": STABILITY_EPISODES,
            "frontier": None if found.kept is None else costs[found.kept.level],
            "points": [plain(point) for point in tried],
        }

    asked = {"frontier": "stability"}
    return _front(request, "flash", asked, output, resume, command, progress, workers, draw)


FRONTIERS = {"stability": stability}
"""What a frontier can be the edge of."""


def _front(
    request: PruneRequest,
    resource: str,
    asked: Mapping[str, Any],
    output: Path,
    resume: bool,
    command: str,
    progress: Progress,
    workers: Workers | None,
    draw: Callable[["_Sizes"], dict[str, Any]],
) -> Mapping[str, Any]:
    if request.entry is not None:
        raise UsageError(
            "a front is one of a deployed entry",
            f"got --entry {request.entry}",
            "Leave --entry out, or --pareto and --frontier.",
        )
    job = prepare(request)
    folder = RunFolder(output, {**job.identity, **asked}, resume)
    if folder.finished:
        folder.tidy()
        return read_finished(output)
    progress.stage("converting the original to price it")
    price = pricing.price_of(job, pricing.templates_of(job))
    pricing.require_feasible(job, price)
    with folder:
        if folder.finished:  # by another process, while this one was converting
            return read_finished(output)
        sizes = _Sizes(job, price, resource, stages.Running(folder, progress), workers)
        document = {
            "schema": 1,
            "policy": job.policy.name,
            "target": job.target.name,
            "strategy": request.strategy,
            "resource": RESOURCES[resource],
        } | draw(sizes)
        page = sizes.original.folder.parent / "report.html"
        write_atomically(page, render_front(document).encode())
        folder.publish(
            {"report.html": page, **sizes.artifacts},
            stages.provenance_of(job, command),
            lambda listed: {**document, "artifacts": listed},
        )
        return read_document(folder.path / "summary.json")


class _Sizes:
    """Policies pruned to one limit after the other, in stages of one folder."""

    def __init__(
        self, job: Job, price: Price, resource: str, run: stages.Running, workers: Workers | None
    ) -> None:
        self.job, self.price, self.run, self.workers = job, price, run, workers
        self.key = RESOURCES[resource]
        self.artifacts: dict[str, Path] = {}
        rolled = self.run.stage(
            "original",
            "rolling the original out",
            lambda to, share: stages.roll_original(job, to, share, workers),
        )
        self.original = Original(job, rolled)
        self.whole = original_of(job, workers)

    def ends(self) -> tuple[float, float]:
        """What the least widths take, a little above, and what the whole takes, or the budget or board where less."""
        least = STRATEGIES[self.job.request.strategy].least(self.job.graph)
        lowest = {**self.job.graph.full, **{name: least[name] for name in self.job.cuttable}}
        low, high = 1.02 * self._read(lowest), self._read(self.job.graph.full)
        given = getattr(self.job.budget.total, self.key)
        return low, max(1.001 * low, min(high, given) if given is not None else high)

    def at(self, name: str, title: str, limit: float) -> tuple[dict[str, int], Opener]:
        """Widths and policy at a limit, cut and recovered.

        Raises:
            BudgetInfeasible: another limit of the request cannot be met there.
        """
        value: Any = limit if self.key == "latency_s" else int(limit)
        total = replace(self.job.budget.total, **{self.key: value})
        job = replace(self.job, budget=replace(self.job.budget, total=total))
        chosen, recovered = self.run.pruned(job, self.price, self.original, f"-{name}", f"{title}: ")
        self.artifacts[f"{name}/widths.json"] = chosen / "widths.json"
        self.artifacts[f"{name}/policy.safetensors"] = recovered / "policy.safetensors"
        policy = stages.recovered_policy(job, chosen, recovered)
        weights = recovered / "policy.safetensors"
        return widths_of(chosen), recovered_of(job, policy, chosen, weights, self.workers)

    def point(self, widths: dict[str, int], limit: float) -> dict[str, Any]:
        """A point as plain data: limit, predicted cost, widths."""
        cost = self.price(widths)
        predicted = {
            "parameters": cost.parameters,
            "flash_bytes": cost.flash_bytes,
            "ram_bytes": cost.ram_bytes,
            "latency_s": cost.latency_s.high,
        }
        return {"limit": limit, "predicted": predicted, "widths": widths}

    def returns(self, name: str, title: str, policy: Opener) -> np.ndarray:
        """The returns of a policy on the verdict's episodes, ``[episodes]``: a stage of its own."""

        def write(to: Path, share: Share) -> None:
            seeds = self.job.seeds("verdict", self.job.request.episodes)
            told = stages.told_of_episodes(share)
            rolled = episodes(policy, seeds, CALM, self.workers, ended, told)
            write_atomically(to / "returns.json", to_json([episode.return_ for episode in rolled]))

        folder = self.run.stage(name, title, write)
        return np.array(read_document(folder / "returns.json"))

    def episodes(self, policy: Opener) -> tuple[Trajectory, ...]:
        """Episodes that stability is judged on."""
        seeds = self.job.seeds("stability", STABILITY_EPISODES)
        try:
            return tuple(episodes(policy, seeds, CALM, self.workers))
        finally:
            close_all()

    def _read(self, widths: Mapping[str, int]) -> float:
        cost = self.price(widths)
        return float(cost.latency_s.high if self.key == "latency_s" else getattr(cost, self.key))


def _between(low: float, high: float, points: int) -> list[float]:
    return [float(value) for value in np.geomspace(low, high, points)]
