"""Original and artifact on the same seeds: how much of the return is kept, at the speed of the board."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.errors import SecateurError
from secateur.policy.policy import Task
from secateur.records import ClosedLoop
from secateur.simulate.delay import effective_delay_s
from secateur.simulate.parallel import CALM, Conditions, Opener, episodes
from secateur.simulate.rollout import Progress, Trajectory
from secateur.verify.statistics import paired_interval, require_judgeable
from secateur.workers import Workers


@dataclass(frozen=True)
class Ended:
    """What a comparison needs to know of an episode."""

    seed: int
    return_: float
    success: bool | None


def ended(trajectory: Trajectory) -> Ended:
    """Of one episode."""
    return Ended(trajectory.seed, trajectory.return_, trajectory.success)


def baseline_episodes(
    original: Opener,
    seeds: Sequence[int],
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> list[Ended]:
    """Episodes of the original, without delay: they depend on no board and no budget.

    Raises:
        SecateurError: as ``simulate.parallel.episodes``; as ``statistics.require_judgeable``.
    """
    rolled = episodes(original, seeds, CALM, workers, ended, progress)
    require_judgeable(np.array([t.return_ for t in rolled]), np.random.default_rng(0))
    return rolled


def evaluate_against(
    task: Task,
    baseline: Sequence[Ended],
    artifact: Opener,
    delay_s: float,
    generator: np.random.Generator,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> ClosedLoop:
    """Runs the artifact, with its delay, on the seeds of the original's episodes; see ``evaluate_pair``."""
    seeds = [e.seed for e in baseline]
    after = episodes(artifact, seeds, Conditions(delay_s), workers, ended, progress)
    return compare_episodes(baseline, after, _delay_given(task, delay_s), generator)


def evaluate_pair(
    task: Task,
    original: Opener,
    artifact: Opener,
    seeds: Sequence[int],
    delay_s: float,
    generator: np.random.Generator,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> ClosedLoop:
    """Runs the original without delay and the artifact with its own, and compares.

    Args:
        task: what both must do.
        original: in torch.
        artifact: on its device.
        seeds: two or more, each used once by both.
        delay_s: of the artifact's actions, s: the latency of its board.
        generator: draws the bootstrap.
        workers: who runs them; None for this process.
        progress: told of episodes that end, out of twice as many.

    Raises:
        SecateurError: as ``baseline_episodes``, before the artifact is run; as ``statistics.paired_interval``.
    """
    total = 2 * len(seeds)
    first = None if progress is None else (lambda done, _: progress(done, total))
    second = None if progress is None else (lambda done, _: progress(len(seeds) + done, total))
    baseline = baseline_episodes(original, seeds, workers, first)
    return evaluate_against(task, baseline, artifact, delay_s, generator, workers, second)


def compare_episodes(
    baseline: Sequence[Trajectory | Ended],
    artifact: Sequence[Trajectory | Ended],
    delay_s: float,
    generator: np.random.Generator,
) -> ClosedLoop:
    """The same, from episodes that have been run.

    Args:
        baseline: of the original.
        artifact: of the artifact, the same seeds in the same order.
        delay_s: that the artifact's episodes were run with.
        generator: draws the bootstrap.
    """
    if [t.seed for t in baseline] != [t.seed for t in artifact]:
        raise SecateurError(
            "episodes are compared in pairs of the same seed",
            f"the seeds are {[t.seed for t in baseline][:4]}… and {[t.seed for t in artifact][:4]}…",
            "Run both on the same seeds.",
        )
    before, after = (np.array([t.return_ for t in episodes]) for episodes in (baseline, artifact))
    ratio, interval = paired_interval(before, after, generator)
    return ClosedLoop(
        episodes=len(before),
        baseline_return_mean=float(before.mean()),
        artifact_return_mean=float(after.mean()),
        return_ratio=ratio,
        ci95=interval,
        baseline_success_rate=_success_rate(baseline),
        success_rate=_success_rate(artifact),
        delay_s=delay_s,
        baseline_returns=tuple(before.tolist()),
        artifact_returns=tuple(after.tolist()),
    )


def _success_rate(episodes: Sequence[Trajectory | Ended]) -> float | None:
    known = [t.success for t in episodes if t.success is not None]
    return sum(known) / len(known) if known else None


def _delay_given(task: Task, delay_s: float) -> float:
    env = task.make_env()
    try:
        return effective_delay_s(env, delay_s, task.control_hz)
    finally:
        env.close()
