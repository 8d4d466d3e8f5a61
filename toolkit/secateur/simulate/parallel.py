"""Episodes here, in several processes or on a cluster: the same numbers, bit for bit, wherever they are run.

An episode is a function of its seed alone (``simulate.rollout``), so how seeds are divided changes nothing. Policies,
environments and devices do not travel between processes: an ``Opener``, a small description, does, and each process
opens what it says once and keeps it.
"""

import resource
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import gymnasium

from secateur.policy.policy import Task
from secateur.simulate.controller import LANES, Controller
from secateur.simulate.displaced import Displaced
from secateur.simulate.disturb import Disturbance, disturbed, extra_delay_s
from secateur.simulate.jitter import Delay, later
from secateur.simulate.rollout import Progress, Trajectory, kept_of_rollouts
from secateur.workers import Workers, nothing, value

KEPT_OPEN = 3
"""What a process keeps open at a time; the longest unused is closed."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Opened:
    """A task and a controller in this process, and how to let go of them."""

    task: Task
    controller: Controller
    close: Callable[[], None] = field(default=nothing)


class Opener(Protocol):
    """Describes a task with its controller: small, hashable, and the same in every process."""

    @property
    def travels(self) -> bool:
        """Whether other processes can open it too; a board on a serial line is in one hand at a time."""
        ...

    def __call__(self) -> Opened:
        """Loads and builds it here."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Given:
    """What is open in this process already, and stays here."""

    task: Task
    controller: Controller
    travels = False

    def __call__(self) -> Opened:
        """It, as it was given."""
        return Opened(self.task, self.controller)


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


def episodes(
    opener: Opener,
    seeds: Sequence[int],
    conditions: Conditions = CALM,
    workers: Workers | None = None,
    keep: Callable[[Trajectory], T] = whole,  # type: ignore[assignment]
    progress: Progress | None = None,
) -> list[T]:
    """One episode for each seed, in the order of the seeds.

    Args:
        opener: of the task and the controller.
        seeds: of the environment's resets.
        conditions: delay and disturbances.
        workers: who runs them; None for this process, which also runs what does not travel.
        keep: what is wanted of an episode, worked out where it was run: a module's own function.
        progress: told of episodes that end; of every one that is run here.

    Raises:
        SecateurError: as ``kept_of_rollouts``; or a process was lost.
    """
    return [kept for (kept,) in paired([(opener, conditions)], seeds, workers, keep, progress)]


def paired(
    sides: Sequence[tuple[Opener, Conditions]],
    seeds: Sequence[int],
    workers: Workers | None,
    keep: Callable[[Trajectory], T],
    progress: Progress | None = None,
) -> list[tuple[T, ...]]:
    """The same seeds on several sides; for each seed, what is kept of each side's episode."""
    seeds = tuple(int(seed) for seed in seeds)
    found: list[list[Any]] = [[None] * len(seeds) for _ in sides]
    here, portions = _divided(sides, seeds, workers)
    total, done = len(sides) * len(seeds), 0

    def tell(more: int) -> None:
        if progress is not None:
            progress(done + more, total)

    if workers is not None and portions:
        calls = [(*sides[side], some, keep) for side, _, some in portions]
        with closing(workers.ended(_run, calls)) as answers:  # type: ignore[type-var]
            for number, answer in answers:
                side, start, some = portions[number]
                kept, peak = value(answer)
                _peaks[:] = [max(peak, largest_peak_bytes())]
                found[side][start : start + len(some)] = kept
                done += len(some)
                tell(0)
    for side in here:
        found[side], _ = _run(*sides[side], seeds, keep, lambda ended, _: tell(ended))
        _peaks[:] = [max(own_peak_bytes(), largest_peak_bytes())]
        done += len(seeds)
    return list(zip(*found, strict=True))


Portion = tuple[int, int, tuple[int, ...]]
"""Of one side, from one place in its seeds on, so many."""


def _divided(
    sides: Sequence[tuple[Opener, Conditions]], seeds: tuple[int, ...], workers: Workers | None
) -> tuple[list[int], list[Portion]]:
    """Sides that are run here, and portions of the others; a single portion is not worth its way."""
    away = [side for side, (opener, _) in enumerate(sides) if workers is not None and opener.travels]
    size = portion_size(len(seeds) * len(away), workers.count) if workers is not None else len(seeds)
    portions = [
        (side, start, seeds[start : start + size]) for side in away for start in range(0, len(seeds), size)
    ]
    if len(portions) == 1:
        away, portions = [], []
    return [side for side in range(len(sides)) if side not in away], portions


def portion_size(count: int, workers: int) -> int:
    """Episodes of one call, of so many in all.

    All lanes full, and a few portions for each worker, so that none waits long for another; less than full where some
    would otherwise have nothing to do, unless all fit into one call.
    """
    share = -(-count // (3 * workers))
    full = max(LANES, -(-share // LANES) * LANES)
    return full if count <= LANES else min(full, -(-count // workers))


_peaks: list[int] = []
_opened: "OrderedDict[Opener, Opened]" = OrderedDict()
_pools: "OrderedDict[tuple[Opener, Conditions], list[gymnasium.Env]]" = OrderedDict()


def _run(
    opener: Opener,
    conditions: Conditions,
    seeds: tuple[int, ...],
    keep: Callable[[Trajectory], T],
    progress: Progress | None = None,
) -> tuple[list[T], int]:
    """Runs in whichever process; what is kept, and the largest that the process has been, in bytes."""
    if isinstance(opener, Given):
        here, pool = opener(), None
    else:
        here, pool = opened(opener), _pool(opener, conditions)
    task = under(here.task, conditions)
    delay = later(conditions.delay, extra_delay_s(conditions.disturbances, task.control_hz))
    kept = kept_of_rollouts(task, here.controller, seeds, keep, delay, progress, pool)
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
    """The largest resident set that this process has had since its program began; Linux counts it in KiB.

    What ``getrusage`` says is not less than that of whoever started the process, who may be larger.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
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
