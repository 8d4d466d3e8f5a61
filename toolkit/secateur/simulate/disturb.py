"""Disturbances of a task, as wrappers around its environment: sensors, actuators, mechanics, pushes, cameras.

They work on any Gymnasium environment as far as it lets them: on its observations, and, where MuJoCo is behind it, on
``model`` and ``data`` themselves. What they draw depends on the seed of the episode and on nothing else, so that two
controllers on one seed meet the same.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv

from secateur.errors import SecateurError, require_known
from secateur.simulate.sensors import (
    Bias,
    Dropped,
    Exposure,
    Noise,
    Occlusion,
    Quantised,
    generator_of,
    is_image,
    is_numbers,
    leaves,
)

PUSH_S, BETWEEN_PUSHES_S = 0.1, 1.0
"""How long a push lasts, and how long it is until the next begins, on average."""


@dataclass(frozen=True)
class Disturbance:
    """One of ``KINDS`` at a level.

    Attributes:
        kind: key of ``KINDS``.
        level: in the kind's own unit.
        scale: what 1 is for each number of an observation, flattened, a dict's parts in alphabetical order: its
            standard deviation where the original goes. Empty for 1 everywhere. Only what disturbs numbers looks at it.
    """

    kind: str
    level: float
    scale: tuple[float, ...] = ()

    @property
    def title(self) -> str:
        """For reports."""
        return KINDS[self.kind].title.format(self.level)


def disturbed(env: gymnasium.Env, disturbances: Sequence[Disturbance], control_hz: float) -> gymnasium.Env:
    """The environment under disturbances, the first innermost.

    ``actuator-delay`` is carried out by whoever delays actions anyway: see ``extra_delay_s``.

    Args:
        env: a fresh one; its model is changed in place.
        disturbances: what it meets.
        control_hz: of the task.

    Raises:
        SecateurError: an unknown kind, or one that this environment cannot be given, or not at this level.
    """
    for disturbance in disturbances:
        require_known("disturbance", disturbance.kind, KINDS)
        kind = KINDS[disturbance.kind]
        if (reason := kind.refuses(env) or kind.refuses_level(env, disturbance.level)) is not None:
            raise SecateurError(
                f"an environment is given {disturbance.kind} where it has what is disturbed",
                reason,
                "Leave it out.",
            )
        if kind.wrap is not None:
            env = kind.wrap(env, disturbance, control_hz)
    return env


def extra_delay_s(disturbances: Sequence[Disturbance], control_hz: float) -> float:
    """What the actions are delayed by on top, s."""
    return sum(d.level / control_hz for d in disturbances if d.kind == "actuator-delay")


def simulation(env: gymnasium.Env) -> tuple[Any, Any] | None:
    """MuJoCo's model and data behind an environment; None where there is no MuJoCo that can be seen."""
    inner: Any = env.unwrapped
    for holder in (inner, getattr(inner, "physics", None), getattr(inner, "_physics", None)):
        model, data = getattr(holder, "model", None), getattr(holder, "data", None)
        model, data = getattr(model, "ptr", model), getattr(data, "ptr", data)
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return model, data
    return None


class _Mechanics(gymnasium.Wrapper):
    """Changes the model: once for each that the environment makes, and again what it draws anew in a reset."""

    def __init__(self, env: gymnasium.Env, disturbance: Disturbance, control_hz: float) -> None:
        super().__init__(env)
        self.kind, self.level = disturbance.kind, disturbance.level
        self.model: Any = None
        self.left: dict[str, np.ndarray] = {}
        self._apply()

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        result = self.env.reset(**kwargs)
        self._apply()
        return result

    def _apply(self) -> None:
        """Scales every number of the model that is not as this left it."""
        found = simulation(self.env)
        if found is None:
            return
        if found[0] is not self.model:
            self.model, self.left = found[0], {}
        changed = False
        for name in _SCALED[self.kind]:
            numbers = getattr(self.model, name)
            drawn = numbers != self.left[name] if name in self.left else np.ones(numbers.shape, bool)
            numbers[drawn] *= self.level
            self.left[name] = numbers.copy()
            changed = changed or bool(drawn.any())
        if changed and self.kind == "mass":
            mujoco.mj_setConst(
                self.model, mujoco.MjData(self.model)
            )  # what MuJoCo works out from masses beforehand


_SCALED: dict[str, tuple[str, ...]] = {
    "friction": ("geom_friction", "dof_frictionloss"),
    "mass": ("body_mass", "body_inertia"),
    "damping": ("dof_damping",),
    "actuator-gain": ("actuator_gainprm", "actuator_biasprm"),
}
"""Kind → the numbers of MuJoCo's model that are multiplied by its level."""


class _Pushed(gymnasium.Wrapper):
    """Now and then a force on one of its bodies, ``level`` times the weight of all of them, in any direction."""

    def __init__(self, env: gymnasium.Env, disturbance: Disturbance, control_hz: float) -> None:
        super().__init__(env)
        self.level, self.period_s = disturbance.level, 1 / control_hz
        self.generator = generator_of(0, "pushes")

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; the first push comes after a while."""
        result = self.env.reset(**kwargs)
        if kwargs.get("seed") is not None:
            self.generator = generator_of(kwargs["seed"], "pushes")
        self.left_s, self.wait_s = 0.0, self.generator.exponential(BETWEEN_PUSHES_S)
        self.body, self.force = 0, np.zeros(3)
        return result

    def step(self, action: Any) -> Any:
        """One control period."""
        found = simulation(self.env)
        assert found is not None
        model, data = found
        if self.left_s <= 0 and self.wait_s <= 0:
            self._aim(model)
        if self.left_s > 0:
            data.xfrc_applied[self.body, :3] = self.force
        result = self.env.step(action)
        if self.left_s > 0:
            self.left_s -= self.period_s
            if self.left_s <= 1e-9:
                data.xfrc_applied[self.body, :3] = 0.0
                self.wait_s = self.generator.exponential(BETWEEN_PUSHES_S)
        else:
            self.wait_s -= self.period_s
        return result

    def _aim(self, model: Any) -> None:
        free = np.flatnonzero((model.body_weldid != 0) & (model.body_mass > 0))
        share = model.body_mass[free] / model.body_mass[free].sum()
        self.body = int(self.generator.choice(free, p=share))
        direction = self.generator.standard_normal(3)
        weight = model.body_mass.sum() * (np.linalg.norm(model.opt.gravity) or 9.81)
        self.force = self.level * weight * direction / np.linalg.norm(direction)
        self.left_s = PUSH_S


# Who can be given what


def _needs_numbers(env: gymnasium.Env) -> str | None:
    if any(is_numbers(box) for _, box in leaves(env.observation_space)):
        return None
    return f"no real numbers are observed: {env.observation_space}"


def _needs_image(env: gymnasium.Env) -> str | None:
    return None if any(is_image(box) for _, box in leaves(env.observation_space)) else "no image is observed"


def _needs_nothing(env: gymnasium.Env) -> str | None:
    return None


def _any_level(env: gymnasium.Env, level: float) -> str | None:
    return None


def _whole_periods(env: gymnasium.Env, level: float) -> str | None:
    """Within a control period only what derives from MujocoEnv is delayed; see ``simulate.delay``."""
    if isinstance(env.unwrapped, MujocoEnv) or float(level).is_integer():
        return None
    return f"this environment is delayed by whole control periods only, and {level:g} would be {math.ceil(level)}"


def _needs(what: str, there: Callable[[Any], bool]) -> Callable[[gymnasium.Env], str | None]:
    def refuses(env: gymnasium.Env) -> str | None:
        found = simulation(env)
        if found is None:
            return "there is no MuJoCo behind the environment"
        return None if there(found[0]) else what

    return refuses


def _touches(model: Any) -> bool:
    contacts = bool(((model.geom_contype != 0) | (model.geom_conaffinity != 0)).any())
    return contacts or bool(model.dof_frictionloss.any())


@dataclass(frozen=True)
class Kind:
    """A kind of disturbance.

    Attributes:
        title: with a level in it.
        levels: of the standard set.
        refuses: an environment → why it cannot be given this; None where it can.
        wrap: the environment, what it is to meet, and the control rate → the environment that meets it; None where
            something else carries it out.
        refuses_level: an environment that can be given this, and a level → why it cannot be given that; None where
            it can.
    """

    title: str
    levels: tuple[float, ...]
    refuses: Callable[[gymnasium.Env], str | None]
    wrap: Callable[[gymnasium.Env, Disturbance, float], gymnasium.Env] | None
    refuses_level: Callable[[gymnasium.Env, float], str | None] = _any_level


_NO_JOINTS, _NO_ACTUATORS = "nothing moves in the model", "the model has no actuators"
KINDS: dict[str, Kind] = {
    "sensor-noise": Kind("sensor noise {:.0%}", (0.05, 0.2), _needs_numbers, Noise),
    "sensor-bias": Kind("sensor bias {:.0%}", (0.05, 0.2), _needs_numbers, Bias),
    "sensor-quantisation": Kind("sensor steps of {:.0%}", (0.1, 0.4), _needs_numbers, Quantised),
    "dropped-observations": Kind("{:.0%} of observations dropped", (0.1, 0.3), _needs_nothing, Dropped),
    "actuator-delay": Kind("actuators {:g} periods late", (0.5, 1.0), _needs_nothing, None, _whole_periods),
    "actuator-gain": Kind(
        "actuator gain × {:g}", (0.8, 1.25), _needs(_NO_ACTUATORS, lambda m: m.nu > 0), _Mechanics
    ),
    "friction": Kind(
        "friction × {:g}", (0.5, 2.0), _needs("nothing rubs in the model", _touches), _Mechanics
    ),
    "mass": Kind("mass × {:g}", (0.8, 1.25), _needs(_NO_JOINTS, lambda m: m.nv > 0), _Mechanics),
    "damping": Kind(
        "damping × {:g}",
        (0.5, 2.0),
        _needs("no joint of the model is damped", lambda m: bool(m.dof_damping.any())),
        _Mechanics,
    ),
    "pushes": Kind("pushes of {:g} × weight", (0.5, 1.5), _needs(_NO_JOINTS, lambda m: m.nv > 0), _Pushed),
    "camera-exposure": Kind("exposure × {:g}", (0.5, 2.0), _needs_image, Exposure),
    "camera-occlusion": Kind("{:.0%} of the image covered", (0.1, 0.25), _needs_image, Occlusion),
}
"""Kind → how it is done; the standard set is all of them at their levels."""
