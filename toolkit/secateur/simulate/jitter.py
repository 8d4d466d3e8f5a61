"""Latency that is not the same every time, as actuation delay.

A device that was timed gave many latencies, not one. For each decision one of them is drawn, by a generator that starts
anew with every episode's seed. Decisions take effect in their order: one that is early waits for none, one that is late
is overtaken by none, as with one processor that works on one call after the other.

``simulate.delay`` says how a delay within a physics step is carried out; this does the same for a delay that varies.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv

from secateur.errors import SecateurError
from secateur.simulate.delay import PeriodDelay, PhysicsDelay, delayed, whole_periods

_TAG = 0x4A17
"""Keeps the draws apart from those of others that start from the same seed."""


@dataclass(frozen=True)
class Jitter:
    """Latencies as they were measured, s: each as likely as any other.

    Raises:
        SecateurError: none, or one that is negative or not finite.
    """

    samples_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples_s or not all(math.isfinite(s) and s >= 0 for s in self.samples_s):
            raise SecateurError(
                "jitter is drawn from latencies that are finite and not negative",
                f"got {self.samples_s[:4]}",
                "Measure them again.",
            )

    @property
    def mean_s(self) -> float:
        """Their mean."""
        return sum(self.samples_s) / len(self.samples_s)

    @property
    def worst_s(self) -> float:
        """The longest."""
        return max(self.samples_s)


Delay = float | Jitter
"""From the observation to the moment the action takes effect: s, or drawn for each decision."""


def later(delay: Delay, extra_s: float) -> Delay:
    """The same delay, and so much more each time."""
    if isinstance(delay, Jitter):
        return Jitter(tuple(sample + extra_s for sample in delay.samples_s))
    return delay + extra_s


def from_quantiles(shares: Sequence[float], values_s: Sequence[float], count: int = 200) -> Jitter:
    """Latencies between known quantiles, in equal steps of probability, linearly.

    Args:
        shares: of the calls that took at most as long, ascending from 0 to 1.
        values_s: how long, ascending.
        count: of latencies.
    """
    middle = (np.arange(count) + 0.5) / count
    return Jitter(tuple(float(s) for s in np.interp(middle, shares, values_s)))


def held_up(env: gymnasium.Env, delay: Delay, control_hz: float) -> gymnasium.Env:
    """The environment with its actions delayed, by as much each time or by jitter; see ``delay.delayed``."""
    if not isinstance(delay, Jitter):
        return delayed(env, delay, control_hz)
    if isinstance(env.unwrapped, MujocoEnv):
        return _JitteredPhysics(env, delay, control_hz)
    return _JitteredPeriods(env, delay, control_hz)


class _Drawn:
    """Draws latencies; starts anew with every seed."""

    def __init__(self, jitter: Jitter) -> None:
        self.samples = jitter.samples_s
        self.generator = np.random.default_rng([0, _TAG])

    def start(self, seed: int | None) -> None:
        if seed is not None:
            self.generator = np.random.default_rng([seed, _TAG])

    def next_s(self) -> float:
        return self.samples[int(self.generator.integers(len(self.samples)))]


class _JitteredPhysics(PhysicsDelay):
    """Control by control, each physics step with the time-weighted mix of what acts in it."""

    def __init__(self, env: gymnasium.Env, jitter: Jitter, control_hz: float) -> None:
        super().__init__(env, jitter.worst_s, control_hz)
        self.drawn = _Drawn(jitter)
        self.arrivals: deque[tuple[float, np.ndarray]] = deque()
        self.frame, self.last, self.frames_late = 0, 0.0, 0.0
        self.acting: np.ndarray | None = None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode with the control that the reset left."""
        self.acting = None
        result = super().reset(**kwargs)
        self.drawn.start(kwargs.get("seed"))
        self.arrivals.clear()
        self.frame, self.last, self.acting = 0, 0.0, self.pending[0]
        return result

    def step(self, action: Any) -> Any:
        """One decision."""
        self.frames_late = self.drawn.next_s() / self.inner.model.opt.timestep
        return super().step(action)

    def _do_simulation(self, ctrl: Any, n_frames: int) -> None:
        if self.acting is None:  # physics run by the reset itself is not control
            self.advance(ctrl, n_frames)
            return
        self.simulated += 1
        self.last = max(self.last, self.frame + self.frames_late)
        self.arrivals.append((self.last, np.array(ctrl, dtype=np.float64)))
        done = 0
        while done < n_frames:
            now = self.frame + done
            if not self.arrivals or self.arrivals[0][0] >= now + 1:
                until = self.arrivals[0][0] if self.arrivals else math.inf
                count = int(min(n_frames - done, math.floor(until) - now if until < math.inf else n_frames))
                self.advance(self.acting, count)
                done += count
                continue
            self.advance(self._mixed(now), 1)
            done += 1
        self.frame += n_frames

    def _mixed(self, now: int) -> np.ndarray:
        """What acts in the physics step that begins now, each control for its time."""
        assert self.acting is not None
        since, mixed = float(now), np.zeros_like(self.acting)
        while self.arrivals and self.arrivals[0][0] < now + 1:
            at, control = self.arrivals.popleft()
            at = max(at, since)
            mixed = mixed + (at - since) * self.acting
            since, self.acting = at, control
        return mixed + (now + 1 - since) * self.acting


class _JitteredPeriods(PeriodDelay):
    """Whole periods, each latency rounded up."""

    def __init__(self, env: gymnasium.Env, jitter: Jitter, control_hz: float) -> None:
        super().__init__(env, whole_periods(jitter.worst_s, control_hz))
        self.drawn, self.control_hz = _Drawn(jitter), control_hz
        self.arrivals: deque[tuple[int, Any]] = deque()
        self.now, self.last = 0, 0
        self.acting: Any = self.start

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode with a neutral action."""
        self.drawn.start(kwargs.get("seed"))
        self.arrivals.clear()
        self.now, self.last, self.acting = 0, 0, self.start
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Steps with the latest action that has arrived."""
        self.last = max(self.last, self.now + whole_periods(self.drawn.next_s(), self.control_hz))
        self.arrivals.append((self.last, np.array(action)))
        while self.arrivals and self.arrivals[0][0] <= self.now:
            _, self.acting = self.arrivals.popleft()
        self.now += 1
        return self.env.step(self.acting)
