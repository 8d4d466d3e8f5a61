"""What is kept of an episode to compare it with another, and what many of them say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.simulate.rollout import Trajectory
from secateur.verify.statistics import (
    CONFIDENCE,
    RESAMPLES,
    interquartile_mean,
    paired_interval,
    wilson_interval,
)


@dataclass(frozen=True)
class Score:
    """An episode in numbers.

    Attributes:
        seed: of its reset.
        return_: sum of rewards.
        length: in control periods.
        success: None where the task has no notion of it.
        terminated: ended by the environment rather than by its time limit.
        least_reward: the lowest of its rewards.
    """

    seed: int
    return_: float
    length: int
    success: bool | None
    terminated: bool
    least_reward: float


def score(trajectory: Trajectory) -> Score:
    """Of one episode."""
    return Score(
        trajectory.seed,
        trajectory.return_,
        trajectory.length,
        trajectory.success,
        trajectory.terminated,
        float(trajectory.rewards.min(initial=np.inf)),
    )


def returns_of(scores: Sequence[Score]) -> np.ndarray:
    """``[n]`` float64."""
    return np.array([each.return_ for each in scores], np.float64)


def bounds_of(
    scores: Sequence[Score], declared: tuple[float, float] | None
) -> tuple[float | None, float | None]:
    """The least and the most that a return can be: as the task declares; None for what is not known.

    Where nothing is declared and no reward was negative the least is 0.
    """
    if declared is not None:
        return declared
    return (0.0 if all(each.least_reward >= 0 for each in scores) else None), None


def side(scores: Sequence[Score]) -> dict[str, Any]:
    """One side's episodes: returns, their mean and interquartile mean, successes with Wilson's interval."""
    returns = returns_of(scores)
    known = [each.success for each in scores if each.success is not None]
    return {
        "returns": returns.tolist(),
        "return_mean": float(returns.mean()),
        "return_iqm": interquartile_mean(returns),
        "return_min": float(returns.min()),
        "success_rate": sum(known) / len(known) if known else None,
        "success_ci95": list(wilson_interval(sum(known), len(known))) if known else None,
        "ended_early": sum(each.terminated for each in scores),
        "length_mean": float(np.mean([each.length for each in scores])),
    }


def retained(baseline: np.ndarray, artifact: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """Share of the original's mean return that is kept, with its paired bootstrap's 95 % interval."""
    ratio, interval = paired_interval(baseline, artifact, generator)
    return {"ratio": ratio, "ci95": list(interval)}


def improvement(baseline: np.ndarray, artifact: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """Probability that the artifact does better on a seed, ties counting half, and its 95 % interval over seeds.

    After the probability of improvement of Agarwal et al. (arXiv 2108.13264), here on equal seeds.
    """
    better = (artifact > baseline) + 0.5 * (artifact == baseline)
    drawn = better[generator.integers(0, len(better), size=(RESAMPLES, len(better)))].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"value": float(better.mean()), "ci95": [float(low), float(high)]}


def share_of(baseline: float, artifact: float) -> float | None:
    """What is kept of one mean return by another; None of nothing."""
    return 1 - (baseline - artifact) / abs(baseline) if baseline else None
