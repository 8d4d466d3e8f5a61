"""Which dtype a file gets where none was named: the quickest that is accurate enough, both by measurement.

Where the policy has a task, accurate means that the file, on LiteRT here, keeps the return; a small error of the
outputs can cost all of it, and a large one nothing. Where there is no task, or the file is only a part of the policy,
accurate means a small error against torch.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from secateur.errors import SecateurError
from secateur.policy.policy import Task
from secateur.records import ClosedLoop
from secateur.target.computer import Computer

Time = Callable[[Mapping[str, bytes]], Mapping[str, float]]
"""Name → .tflite; gives name → seconds of a call, measured."""

Judge = Callable[[bytes], ClosedLoop]
"""A .tflite; gives its episodes beside the original's, neither delayed: what time costs is told by time alone."""

EPISODES = 32
"""Pairs of episodes that a dtype is judged by."""

MAX_ERROR = 0.02
"""Error share that is accurate enough where the return does not tell."""


def judge_of(
    target: Computer, task: Task, file_task: Task, controller: Any, calibrated_on: Sequence[int]
) -> Judge:
    """Closed loops of files of one policy; the original's episodes are run once.

    Args:
        target: that the files are for.
        task: of the policy.
        file_task: the same, with ``to_inputs`` as the files take them.
        controller: of the original, in torch.
        calibrated_on: seeds whose episodes have been used; others are drawn.

    Raises:
        SecateurError: as ``statistics.require_judgeable``.
    """
    from secateur.device.devices import open_device
    from secateur.simulate.rollout import rollouts
    from secateur.verify.firmware import FirmwareController
    from secateur.verify.paired import compare_episodes
    from secateur.verify.statistics import require_judgeable

    seeds = [int(s) for s in np.random.SeedSequence(calibrated_on).generate_state(EPISODES)]
    original = rollouts(task, controller, seeds)
    require_judgeable(np.array([t.return_ for t in original]), np.random.default_rng(0))

    def judge(model: bytes) -> ClosedLoop:
        with (
            tempfile.TemporaryDirectory() as build,
            closing(open_device("litert", model, target, Path(build))) as device,
        ):
            episodes = rollouts(file_task, FirmwareController(device, file_task), seeds)
        return compare_episodes(original, episodes, 0.0, np.random.default_rng(0))

    return judge


def choose(
    models: Mapping[str, bytes],
    errors: Mapping[str, float],
    max_error: float,
    time: Time,
    stem: str,
    judge: Judge | None = None,
    max_return_drop: float = 0.05,
) -> tuple[str, dict[str, dict[str, Any]]]:
    """A dtype, and what was found of all.

    Args:
        models: dtype → .tflite.
        errors: dtype → error share against torch.
        max_error: that it may have.
        time: measures those that have no more.
        stem: the file's name, for errors.
        judge: None where the error alone decides. Dtypes are judged from the quickest on, until one keeps the return.
        max_return_drop: share of the original's return that it may lose, by the lower end of the interval.

    Raises:
        SecateurError: none is accurate enough.
    """
    fit = {dtype: model for dtype, model in models.items() if errors[dtype] <= max_error}
    if not fit:
        best = min(errors, key=lambda d: errors[d])
        raise SecateurError(
            f"a dtype keeps {stem} within an error of {max_error:.2%} of the outputs' range",
            f"the best, {best}, has {errors[best]:.2%}",
            "Raise --max-error.",
        )
    seconds = time(fit)
    tried: dict[str, dict[str, Any]] = {
        dtype: {
            "error_share": errors[dtype],
            "bytes": len(model),
            "seconds": seconds.get(dtype),
            "sha256": sha256(model).hexdigest(),
            "closed_loop": None,
        }
        for dtype, model in models.items()
    }
    ordered = sorted(fit, key=lambda d: (seconds[d], len(fit[d])))
    if judge is None:
        return ordered[0], tried
    kept = {}
    for dtype in ordered:
        loop = judge(fit[dtype])
        kept[dtype] = loop.ci95[0]
        tried[dtype]["closed_loop"] = {
            "episodes": loop.episodes,
            "return_ratio": loop.return_ratio,
            "ci95": list(loop.ci95),
        }
        if kept[dtype] >= 1 - max_return_drop:
            return dtype, tried
    best = max(kept, key=lambda d: kept[d])
    raise SecateurError(
        f"a dtype of {stem} keeps {1 - max_return_drop:.1%} of the return",
        f"the best, {best}, keeps {tried[best]['closed_loop']['return_ratio']:.1%}, at least {kept[best]:.1%}",
        "Raise --max-return-drop, or --max-error where it left dtypes out.",
    )
