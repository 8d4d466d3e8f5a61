"""Episodes of a task under a controller, several side by side, each a function of its seed alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import gymnasium
import numpy as np

from secateur.errors import Diverged, SecateurError
from secateur.policy.policy import Task
from secateur.simulate.controller import LANES, Controller, ControllerFactory
from secateur.simulate.jitter import Delay, held_up

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with (episodes done, episodes wanted) whenever an episode ends."""

MAX_STEPS = 100_000
"""An episode that is longer has no end of its own."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One whole episode of T control periods.

    Attributes:
        seed: of the environment's reset.
        observations: array ``[T + 1, ...]``, the last one included; a dict of such arrays for a Dict space.
        actions: ``[T, ...]``, as the controller decided them (under delay they take effect later).
        rewards: ``[T]`` float64.
        return_: their sum.
        success: what ``Task.success`` says of the last info; None where the task has no notion of it.
        terminated: the environment ended the episode, rather than its time limit.
    """

    seed: int
    observations: Any
    actions: Any
    rewards: np.ndarray
    return_: float
    success: bool | None
    terminated: bool

    @property
    def length(self) -> int:
        """T, in control periods."""
        return len(self.rewards)


def rollout(task: Task, controller: Controller, seed: int, delay_s: Delay = 0.0) -> Trajectory:
    """One episode; the same, bit for bit, as among others in ``rollouts``."""
    return rollouts(task, controller, (seed,), delay_s)[0]


def rollouts(
    task: Task,
    controller: Controller | ControllerFactory,
    seeds: Sequence[int],
    delay_s: Delay = 0.0,
    progress: Progress | None = None,
) -> tuple[Trajectory, ...]:
    """One whole episode for each seed, in the order of the seeds; see ``kept_of_rollouts``."""
    return tuple(kept_of_rollouts(task, controller, seeds, lambda whole: whole, delay_s, progress))


def kept_of_rollouts(
    task: Task,
    controller: Controller | ControllerFactory,
    seeds: Sequence[int],
    keep: Callable[[Trajectory], T],
    delay_s: Delay = 0.0,
    progress: Progress | None = None,
    pool: list[gymnasium.Env] | None = None,
) -> list[T]:
    """What is wanted of one episode for each seed, in the order of the seeds.

    Up to LANES episodes advance in lockstep, so that the controller is asked for several actions at a time;
    the next seed starts in the lane whose episode has ended. Same seed → same episode, bit for bit, whatever
    the other seeds and their order are (as long as the environment's ``reset(seed=…)`` resets all of it).

    Args:
        task: its environment is made once per lane.
        controller: or a function that makes one; it may say how many ``lanes`` it can keep apart.
        seeds: of the environment's resets.
        keep: what is wanted of an episode, worked out when it ends.
        delay_s: of the actions, s, or jitter; see ``simulate.delay`` and ``simulate.jitter``.
        progress: told of every episode that ends.
        pool: environments of an earlier call for the same task and delay, which are used again; those that are made
            are added, and all are left open. None to make new ones and close them.

    Raises:
        Diverged: an action, observation or reward that is not finite.
        SecateurError: an episode without an end; a delay that the environment cannot be given.
    """
    acting = controller if isinstance(controller, Controller) else controller()
    waiting = list(enumerate(seeds))[::-1]
    done: dict[int, T] = {}
    envs: list[gymnasium.Env] = [] if pool is None else pool
    try:
        lanes: dict[int, _Episode] = {}
        for lane in range(min(getattr(acting, "lanes", LANES), len(seeds))):
            if lane == len(envs):
                envs.append(held_up(task.make_env(), delay_s, task.control_hz))
            lanes[lane] = _Episode(*waiting.pop(), envs[lane], task)
        acting.reset(tuple(lanes))
        while lanes:
            order = tuple(lanes)
            actions = acting.act([lanes[lane].observations[-1] for lane in order], order)
            for lane, action in zip(order, actions, strict=True):
                episode = lanes[lane]
                if not episode.step(action):
                    continue
                done[episode.index] = keep(episode.trajectory())
                if progress is not None:
                    progress(len(done), len(seeds))
                if waiting:
                    lanes[lane] = _Episode(*waiting.pop(), envs[lane], task)
                    acting.reset((lane,))
                else:
                    del lanes[lane]
    finally:
        if pool is None:
            for env in envs:
                env.close()
    return [done[index] for index in range(len(seeds))]


class _Episode:
    """An episode under way in one lane."""

    def __init__(self, index: int, seed: int, env: gymnasium.Env, task: Task) -> None:
        self.index, self.seed, self.env, self.task = index, int(seed), env, task
        observation, self.info = env.reset(seed=self.seed)
        self.observations: list[Any] = [_copy(observation)]
        self.actions: list[Any] = []
        self.rewards: list[float] = []
        self.terminated = False

    def step(self, action: Any) -> bool:
        """Takes one control period; True when the episode has ended."""
        if not _finite(action):
            self._refuse(action, "action", "Look for an overflow in the policy or its conversion.")
        observation, reward, terminated, truncated, self.info = self.env.step(action)
        if not _finite(observation):
            self._refuse(observation, "observation", "The simulation diverged: use a smaller timestep.")
        if not _finite(reward):
            self._refuse(reward, "reward", "Correct the environment's reward.")
        self.actions.append(np.array(action))
        self.observations.append(_copy(observation))
        self.rewards.append(float(reward))
        self.terminated = bool(terminated)
        if len(self.rewards) >= MAX_STEPS and not (terminated or truncated):
            raise SecateurError(
                "an episode ends",
                f"seed {self.seed} was still running after {MAX_STEPS} steps",
                "Give the environment a time limit (gymnasium.wrappers.TimeLimit).",
            )
        return bool(terminated or truncated)

    def trajectory(self) -> Trajectory:
        """The whole episode."""
        rewards = np.array(self.rewards, dtype=np.float64)
        success = None if self.task.success is None else bool(self.task.success(self.info))
        return Trajectory(
            seed=self.seed,
            observations=_stack(self.observations),
            actions=_stack(self.actions),
            rewards=rewards,
            return_=float(rewards.sum()),
            success=success,
            terminated=self.terminated,
        )

    def _refuse(self, value: Any, what: str, remedy: str) -> None:
        """Raises Diverged: something in it is no finite number."""
        parts = value if isinstance(value, dict) else {"": value}
        bad = next(part for part in parts.values() if not _finite(part))
        if isinstance(bad, dict):
            return self._refuse(bad, what, remedy)
        raise Diverged(
            f"every {what} of an episode is finite",
            f"seed {self.seed}, step {len(self.rewards)}: {np.asarray(bad).ravel()[:8].tolist()}",
            remedy,
        )


def _finite(value: Any) -> bool:
    """Whether no number in it is NaN or infinite. A sum of squares that is finite says so at once."""
    if type(value) is float:
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_finite(part) for part in value.values())
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return True
    return (array.ndim == 1 and math.isfinite(array.dot(array))) or bool(np.isfinite(array).all())


def _copy(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {name: _copy(part) for name, part in observation.items()}
    return np.array(observation)


def _stack(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _stack([value[name] for value in values]) for name in values[0]}
    return np.array(values)
