"""How robust the artifact is beside the original: each disturbance at each level, both on the same seeds."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from secateur.errors import SecateurError, require_known
from secateur.simulate.disturb import KINDS, Disturbance
from secateur.simulate.rollout import Trajectory
from secateur.simulate.sensors import is_numbers, leaves
from secateur.verify.scores import Score, retained, returns_of, share_of, side
from secateur.verify.state_space import observed

AS_GOOD, WORSE, UNCLEAR = "as good", "worse", "unclear"


def standard_set(
    env: gymnasium.Env, kinds: Sequence[str], scale: tuple[float, ...]
) -> tuple[tuple[Disturbance, ...], dict[str, str]]:
    """The disturbances that an environment can be given, and by kind or by title why it is not given the others.

    Args:
        env: of the task.
        kinds: keys of ``KINDS``.
        scale: see ``Disturbance``.
    """
    given: list[Disturbance] = []
    left_out: dict[str, str] = {}
    for kind in kinds:
        require_known("disturbance", kind, KINDS)
        if (reason := KINDS[kind].refuses(env)) is not None:
            left_out[kind] = reason
            continue
        for disturbance in (Disturbance(kind, level, scale) for level in KINDS[kind].levels):
            if (reason := KINDS[kind].refuses_level(env, disturbance.level)) is not None:
                left_out[disturbance.title] = reason
            else:
                given.append(disturbance)
    return tuple(given), left_out


def spread_of(env: gymnasium.Env, trajectories: Sequence[Trajectory]) -> tuple[float, ...]:
    """Standard deviation of each real number of an observation, where the original goes."""
    boxes = list(leaves(env.observation_space))
    if not any(is_numbers(box) for _, box in boxes):
        return ()
    wanted = np.concatenate([np.full(int(np.prod(box.shape)), is_numbers(box)) for _, box in boxes])
    if any(not is_numbers(box) for _, box in boxes):
        flat = np.concatenate([_numbers_only(t, boxes) for t in trajectories])
        return tuple(flat.std(axis=0).tolist())
    flat = np.concatenate([observed(trajectory) for trajectory in trajectories])
    return tuple(flat.std(axis=0)[wanted].tolist())


def _numbers_only(trajectory: Trajectory, boxes: Sequence[tuple[tuple[str, ...], Any]]) -> np.ndarray:
    parts = []
    for path, box in boxes:
        values = trajectory.observations
        for name in path:
            values = values[name]
        if is_numbers(box):
            parts.append(np.asarray(values, np.float64).reshape(len(values), -1))
    return np.concatenate(parts, axis=1)


def row(
    disturbance: Disturbance,
    baseline: Sequence[Score],
    artifact: Sequence[Score],
    calm: float,
    drop: float,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """One disturbance.

    Args:
        disturbance: that both met.
        baseline: the original's episodes.
        artifact: the artifact's.
        calm: the original's mean return without it.
        drop: loss from which on the artifact is called worse than the original.
        generator: draws the bootstrap.
    """
    before, after = returns_of(baseline), returns_of(artifact)
    found: dict[str, Any] = {
        "kind": disturbance.kind,
        "level": disturbance.level,
        "title": disturbance.title,
        "baseline": side(baseline),
        "artifact": side(artifact),
        "baseline_of_calm": share_of(calm, float(before.mean())),
        "artifact_of_calm": share_of(calm, float(after.mean())),
    }
    try:
        shares = retained(before, after, generator)
    except SecateurError as error:  # the original itself does not get anywhere
        return found | {"ratio": None, "ci95": None, "judged": None, "note": error.seen}
    low, high = shares["ci95"]
    judged = AS_GOOD if low >= 1 - drop else WORSE if high < 1 - drop else UNCLEAR
    return found | shares | {"judged": judged, "note": None}
