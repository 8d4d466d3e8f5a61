"""Episodes in several processes: the same numbers, bit for bit, whatever their number.

An episode is a function of its seed alone (``simulate.rollout``), so how seeds are divided changes nothing. Policies,
environments and devices do not travel between processes: an ``Opener``, a small description, does, and each process
opens what it says once and keeps it.
"""

import os
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import gymnasium

from secateur.errors import SecateurError
from secateur.policy.policy import Task
from secateur.simulate.controller import LANES, Controller
from secateur.simulate.displaced import Displaced
from secateur.simulate.disturb import Disturbance, disturbed, extra_delay_s
from secateur.simulate.jitter import Delay, later
from secateur.simulate.rollout import Progress, Trajectory, rollouts

KEPT_OPEN = 3
"""What a process keeps open at a time; the longest unused is closed."""

T = TypeVar("T")


def _nothing() -> None:
    """Nothing to close."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A task and a controller in this process, and how to let go of them."""

    task: Task
    controller: Controller
    close: Callable[[], None] = field(default=_nothing)


class Opener(Protocol):
    """Describes a task with its controller: small, hashable, and the same in every process."""

    def __call__(self) -> Opened:
        """Loads and builds it here."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Conditions:
    """Under which episodes are run.

    Attributes:
        delay: of the actions.
        disturbances: one inside the other, the first innermost.
        qpos, qvel: index and offset of positions and velocities that episodes start away from; of a MujocoEnv.
    """

    delay: Delay = 0.0
    disturbances: tuple[Disturbance, ...] = ()
    qpos: tuple[tuple[int, float], ...] = ()
    qvel: tuple[tuple[int, float], ...] = ()


CALM = Conditions()
"""No delay, nothing disturbed."""


def whole(trajectory: Trajectory) -> Trajectory:
    """All of it."""
    return trajectory


def processes_here() -> int:
    """How many processes run at the same time on this machine, as far as this one may use it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def episodes(
    opener: Opener,
    seeds: Sequence[int],
    conditions: Conditions = CALM,
    processes: int = 1,
    keep: Callable[[Trajectory], T] = whole,  # type: ignore[assignment]
    progress: Progress | None = None,
) -> list[T]:
    """One episode for each seed, in the order of the seeds.

    Args:
        opener: of the task and the controller.
        seeds: of the environment's resets.
        conditions: delay and disturbances.
        processes: how many; with 1, in this one.
        keep: what is wanted of an episode, worked out where it was run: a module's own function.
        progress: told of every few episodes that end.

    Raises:
        SecateurError: as ``rollouts``; or a process was lost.
    """
    return [kept for (kept,) in paired([(opener, conditions)], seeds, processes, keep, progress)]


def paired(
    sides: Sequence[tuple[Opener, Conditions]],
    seeds: Sequence[int],
    processes: int,
    keep: Callable[[Trajectory], T],
    progress: Progress | None = None,
) -> list[tuple[T, ...]]:
    """The same seeds on several sides; for each seed, what is kept of each side's episode."""
    portion = portion_size(len(seeds) * len(sides), processes)
    jobs = [
        (side, start, tuple(int(s) for s in seeds[start : start + portion]))
        for side in range(len(sides))
        for start in range(0, len(seeds), portion)
    ]
    found: list[list[Any]] = [[None] * len(seeds) for _ in sides]
    calls = [(*sides[side], its_seeds, keep) for side, _, its_seeds in jobs]
    done = 0
    for (side, start, its_seeds), (kept, peak) in zip(jobs, _run_all(calls, processes), strict=True):
        _peaks[:] = [max(peak, largest_peak_bytes())]
        found[side][start : start + len(its_seeds)] = kept
        done += len(its_seeds)
        if progress is not None:
            progress(done, len(sides) * len(seeds))
    return list(zip(*found, strict=True))


def portion_size(count: int, processes: int) -> int:
    """Seeds of one call: all lanes full, and a few portions for each process, so that none waits long for another."""
    if processes == 1:
        return max(LANES, -(-count // (4 * LANES)) * LANES)
    share = -(-count // (3 * processes))
    return max(LANES, -(-share // LANES) * LANES)


def _run_all(calls: Sequence[tuple[Any, ...]], processes: int) -> Iterator[tuple[list[Any], int]]:
    if processes == 1 or len(calls) == 1:
        yield from (_run(*call) for call in calls)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        yield from Parallel(n_jobs=processes, backend="loky", batch_size=1, return_as="generator")(
            delayed(_run)(*call) for call in calls
        )
    except TerminatedWorkerError as error:
        raise SecateurError(
            "every process ends with its episodes",
            "one was ended from outside, or crashed",
            "Free some memory, or take fewer with --processes.",
        ) from error


_peaks: list[int] = []
_opened: "OrderedDict[Opener, Opened]" = OrderedDict()
_pools: "OrderedDict[tuple[Opener, Conditions], list[gymnasium.Env]]" = OrderedDict()


def _run(
    opener: Opener, conditions: Conditions, seeds: tuple[int, ...], keep: Callable[[Trajectory], T]
) -> tuple[list[T], int]:
    """Runs in whichever process; what is kept, and the largest that the process has been, in bytes."""
    here = opened(opener)
    pool = _pool(opener, conditions)
    task = under(here.task, conditions)
    delay = later(conditions.delay, extra_delay_s(conditions.disturbances, task.control_hz))
    kept = [keep(trajectory) for trajectory in rollouts(task, here.controller, seeds, delay, pool=pool)]
    return kept, own_peak_bytes()


def _pool(opener: Opener, conditions: Conditions) -> list[gymnasium.Env]:
    """The environments that are there for these conditions already."""
    key = (opener, conditions)
    if key not in _pools:
        while len(_pools) >= KEPT_OPEN:
            _close(_pools.popitem(last=False)[1])
        _pools[key] = []
    _pools.move_to_end(key)
    return _pools[key]


def _close(envs: list[gymnasium.Env]) -> None:
    for env in envs:
        env.close()


def own_peak_bytes() -> int:
    """The largest resident set that this process has had; Linux counts it in KiB."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def largest_peak_bytes() -> int:
    """The same of the largest process that has run episodes; 0 where none has."""
    return max(_peaks, default=0)


def under(task: Task, conditions: Conditions) -> Task:
    """The task with its environment disturbed, its episodes starting elsewhere."""
    if not (conditions.disturbances or conditions.qpos or conditions.qvel):
        return task

    def make_env() -> gymnasium.Env:
        env = task.make_env()
        if conditions.qpos or conditions.qvel:
            env = Displaced(env, conditions.qpos, conditions.qvel)
        return disturbed(env, conditions.disturbances, task.control_hz)

    return replace(task, make_env=make_env)


def opened(opener: Opener) -> Opened:
    """What an opener describes, in this process: as it was left, or opened now."""
    if opener not in _opened:
        while len(_opened) >= KEPT_OPEN:
            _opened.popitem(last=False)[1].close()
        _opened[opener] = opener()
    _opened.move_to_end(opener)
    return _opened[opener]


def close_all() -> None:
    """Lets go of all that this process keeps open."""
    while _pools:
        _close(_pools.popitem()[1])
    while _opened:
        _opened.popitem()[1].close()
