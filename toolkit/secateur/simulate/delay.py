"""Latency as actuation delay: what was decided from an observation reaches the motors that much later.

With a delay of *q* whole control periods and a rest *r*, the action decided in period *t* takes effect in
period *t + q*, at *r* after its start; until then the one before it acts. MuJoCo advances in physics steps,
each with one control. In the physics step in which the switch falls the control is the time-weighted mix of
old and new: the integral of the control over the step is then that of the exact switch, so for actuators that
are linear in their control the momentum at the end of the step is right to first order in the step (only its
position within the step, a second-order term, is lost).

A delay beyond one control period keeps the control rate, as a pipeline would. A board that needs longer than
the period for one call cannot hold that rate at all; that is a matter for the budget, not for this module.
"""

import math
from collections import deque
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv

from secateur.errors import SecateurError

_SNAP = 1e-6  # a delay this close to a whole number of physics steps (or periods) is that number


def delayed(env: gymnasium.Env, delay_s: float, control_hz: float) -> gymnasium.Env:
    """The environment with its actions delayed.

    Gymnasium's MujocoEnv (and what derives from it) is delayed exactly, within the control period too. Any
    other environment can only be delayed by whole periods, and a fraction is rounded **up**: the policy is
    judged on a board somewhat slower than the real one, never faster (see ``effective_delay_s``).

    Before the first action arrives the robot holds a neutral control, clipped into its range: for MujocoEnv
    what the reset left in ``data.ctrl`` (zero unless the environment sets it), otherwise zero.

    Args:
        env: a fresh environment. It is changed in place where it is a MujocoEnv, so it must not be shared.
        delay_s: from the observation to the moment the action takes effect, s; 0 gives ``env`` itself.
        control_hz: of the task; must be the environment's own rate where that is known.

    Raises:
        SecateurError: a negative or infinite delay; a rate that is not the environment's; actions that
            are not a Box, in an environment other than MujocoEnv.
    """
    if not (math.isfinite(delay_s) and delay_s >= 0):
        raise SecateurError(
            "a delay is finite and not negative", f"got {delay_s} s", "Give for example 0.002 (2 ms)."
        )
    if delay_s == 0:
        return env
    if isinstance(env.unwrapped, MujocoEnv):
        return PhysicsDelay(env, delay_s, control_hz)
    return PeriodDelay(env, whole_periods(delay_s, control_hz))


def whole_periods(delay_s: float, control_hz: float) -> int:
    """The delay in control periods, rounded up; a delay within 1e-6 of a whole number is that number."""
    return math.ceil(delay_s * control_hz - _SNAP)


def effective_delay_s(env: gymnasium.Env, delay_s: float, control_hz: float) -> float:
    """The delay that ``delayed`` really gives, s: rounded up to whole periods unless it is a MujocoEnv."""
    if isinstance(env.unwrapped, MujocoEnv):
        return delay_s
    return whole_periods(delay_s, control_hz) / control_hz


class PhysicsDelay(gymnasium.Wrapper):
    """Delays ``MujocoEnv.do_simulation(ctrl, n_frames)``, by which those environments apply their control."""

    def __init__(self, env: gymnasium.Env, delay_s: float, control_hz: float) -> None:
        super().__init__(env)
        self.inner = _any(env.unwrapped)
        calls = 1 / (self.inner.dt * control_hz)  # more than one under a wrapper that repeats actions
        if round(calls) < 1 or not math.isclose(calls, round(calls), rel_tol=1e-3):
            raise SecateurError(
                "the task's control_hz is the rate of its environment, or a whole fraction of it",
                f"control_hz is {control_hz:g}, the environment steps at {1 / self.inner.dt:g} Hz",
                "Correct control_hz in the task.",
            )
        frames = delay_s / self.inner.model.opt.timestep
        frames = round(frames) if abs(frames - round(frames)) < _SNAP else frames
        self.periods = int(frames // self.inner.frame_skip)
        self.frames = int(frames - self.periods * self.inner.frame_skip)  # whole frames within the period
        self.share = frames - self.periods * self.inner.frame_skip - self.frames  # of the frame after them
        self.pending: deque[np.ndarray] = deque()
        self.simulated = 0
        self.advance = self.inner.do_simulation
        self.inner.do_simulation = self._do_simulation

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode, with the control that the reset left in every place of the queue."""
        self.pending.clear()
        result = self.env.reset(**kwargs)
        start = np.array(self.inner.data.ctrl, dtype=np.float64)
        limited = self.inner.model.actuator_ctrllimited.astype(bool)
        low, high = self.inner.model.actuator_ctrlrange.T
        start[limited] = np.clip(start, low, high)[limited]
        self.pending = deque([start] * (self.periods + 1))
        return result

    def step(self, action: Any) -> Any:
        """One control period. Raises SecateurError where the physics does not go through do_simulation."""
        self.simulated = 0
        result = self.env.step(action)
        if self.simulated == 0:
            raise SecateurError(
                "a delayed MujocoEnv applies its control by do_simulation(ctrl, frame_skip)",
                f"{type(self.inner).__name__} did not call it in a step",
                "Step the physics through do_simulation, or run without delay.",
            )
        return result

    def _do_simulation(self, ctrl: Any, n_frames: int) -> None:
        if not self.pending:  # physics run by the reset itself is not control
            self.advance(ctrl, n_frames)
            return
        self.simulated += 1
        self.pending.append(np.array(ctrl, dtype=np.float64))
        old, new = self.pending[0], self.pending[1]
        self.pending.popleft()
        left = n_frames
        for control, count in (
            (old, self.frames),
            (self.share * old + (1 - self.share) * new, 1 if self.share else 0),
            (new, left),
        ):
            count = min(count, left)
            if count:
                self.advance(control, count)
                left -= count

    def close(self) -> None:
        """Gives the environment its own do_simulation back and closes it."""
        self.inner.do_simulation = self.advance
        super().close()


def _any(env: gymnasium.Env) -> Any:
    """For attributes of MujocoEnv that its base class does not declare."""
    return env


class PeriodDelay(gymnasium.Wrapper):
    """Delays actions by whole control periods, in any environment with a Box of actions."""

    def __init__(self, env: gymnasium.Env, periods: int) -> None:
        super().__init__(env)
        space = env.action_space
        if not isinstance(space, gymnasium.spaces.Box):
            raise SecateurError(
                "actions are delayed in a Box, where zero is a neutral action",
                f"the action space is {space}",
                "Wrap the environment so that its actions are a Box, or run without delay.",
            )
        self.start = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
        self.periods = periods
        self.pending: deque[Any] = deque()

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode with neutral actions in the queue."""
        self.pending = deque([self.start] * self.periods)
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Steps with the action of ``periods`` steps ago."""
        self.pending.append(np.array(action))
        return self.env.step(self.pending.popleft())
