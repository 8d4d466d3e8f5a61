"""Where the artifact differs: its actions at what the original saw, when their ways part, and how each moves.

Actions are counted in half ranges of the action space (1 is from the middle to the limit); where it has no limits, in
standard deviations of the original's actions.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from secateur.simulate.controller import Controller
from secateur.simulate.rollout import Trajectory
from secateur.verify.state_space import observed

DIVERGED = 0.5
"""Ways have parted where states are half a standard deviation apart, root mean square over coordinates."""
AT_LIMIT = 0.99
"""Of the half range: an action beyond it is saturated."""
POINTS = 100
"""Of a curve over time, at most."""


def replayed(controller: Controller, trajectory: Trajectory) -> np.ndarray:
    """What a controller would have done at each step of somebody else's episode: ``[T, actions]``.

    Its own memory, if it has one, is of what was seen and of its own answers.
    """
    controller.reset((0,))
    actions = []
    for step in range(trajectory.length):
        (action,) = controller.act([_at(trajectory.observations, step)], (0,))
        actions.append(np.ravel(np.asarray(action, np.float64)))
    return np.stack(actions)


def compare(
    baseline: Sequence[Trajectory],
    artifact: Sequence[Trajectory],
    answers: Sequence[np.ndarray],
    space: gymnasium.Space,
    control_hz: float,
) -> dict[str, Any]:
    """Both sides' episodes on the same seeds, and the artifact's answers along the original's.

    Args:
        baseline: of the original.
        artifact: of the artifact.
        answers: ``replayed`` of each of the original's.
        space: of actions.
        control_hz: of the task.
    """
    before, after = [_actions(t) for t in baseline], [_actions(t) for t in artifact]
    middle, half, limited = _unit(space, before)
    errors = [(answer - action) / half for answer, action in zip(answers, before)]
    every = np.concatenate(errors)
    diverged = divergence_steps(baseline, artifact)
    known = [step / control_hz for step in diverged if step is not None]
    return {
        "episodes": len(baseline),
        "unit": "half range" if limited else "standard deviation of the original's actions",
        "action_rms": float(np.sqrt((every**2).mean())),
        "action_max": float(np.abs(every).max()),
        "action_rms_by_actuator": np.sqrt((every**2).mean(axis=0)).tolist(),
        "action_rms_over_time": _curve(errors, control_hz),
        "diverged_share": len(known) / len(diverged),
        "divergence_s": known,
        "divergence_median_s": float(np.median([np.inf if s is None else s / control_hz for s in diverged]))
        if len(known) > len(diverged) / 2
        else None,
        "diverged_at": DIVERGED,
        "baseline": _movement(before, middle, half, limited),
        "artifact": _movement(after, middle, half, limited),
    }


def divergence_steps(baseline: Sequence[Trajectory], artifact: Sequence[Trajectory]) -> list[int | None]:
    """For each pair the first step at which their states are ``DIVERGED`` apart; None where they never are."""
    states = [observed(trajectory) for trajectory in baseline]
    scale = np.concatenate(states).std(axis=0)
    moving = scale > 0
    found: list[int | None] = []
    for one, trajectory in zip(states, artifact):
        other = observed(trajectory)
        length = min(len(one), len(other))
        apart = (one[:length, moving] - other[:length, moving]) / scale[moving]
        parted = np.sqrt((apart**2).mean(axis=1)) > DIVERGED if moving.any() else np.zeros(length, bool)
        if parted.any():
            found.append(int(np.argmax(parted)))
        else:
            found.append(None if len(one) == len(other) else length)
    return found


def _movement(
    episodes: Sequence[np.ndarray], middle: np.ndarray, half: np.ndarray, limited: bool
) -> dict[str, float | None]:
    """How an actor moves: change from step to step, share of actions at their limit, and effort."""
    scaled = [(actions - middle) / half for actions in episodes]
    changes = [np.abs(np.diff(actions, axis=0)).mean() for actions in scaled if len(actions) > 1]
    every = np.concatenate(scaled)
    return {
        "change_per_step": float(np.mean(changes)) if changes else None,
        "saturated_share": float((np.abs(every) >= AT_LIMIT).mean()) if limited else None,
        "effort": float((every**2).mean()),
    }


def _unit(space: gymnasium.Space, actions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, bool]:
    """The middle of the actions, what counts as 1, and whether that is a limit."""
    if isinstance(space, gymnasium.spaces.Box) and np.isfinite([space.low, space.high]).all():
        low, high = (np.ravel(end).astype(np.float64) for end in (space.low, space.high))
        half = (high - low) / 2
        return (low + high) / 2, np.where(half > 0, half, 1.0), True
    every = np.concatenate(actions)
    spread = every.std(axis=0)
    return np.zeros_like(spread), np.where(spread > 0, spread, 1.0), False


def _actions(trajectory: Trajectory) -> np.ndarray:
    actions = np.asarray(trajectory.actions, np.float64)
    return actions.reshape(len(actions), -1)


def _curve(errors: Sequence[np.ndarray], control_hz: float) -> list[list[float]]:
    """Time [s] and the root mean square over episodes and actuators, at a few moments."""
    longest = max(len(each) for each in errors)
    steps = np.unique(np.linspace(0, longest - 1, min(POINTS, longest)).astype(int))
    points = []
    for step in steps:
        there = np.concatenate([each[step] for each in errors if len(each) > step])
        points.append([float(step / control_hz), float(np.sqrt((there**2).mean()))])
    return points


def _at(observations: Any, step: int) -> Any:
    if isinstance(observations, dict):
        return {name: _at(part, step) for name, part in observations.items()}
    return observations[step]
