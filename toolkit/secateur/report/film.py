"""Original and artifact side by side, on the same seed: recorded here, drawn in a process of its own.

OpenGL can take a process down with it, and is bound to one backend once MuJoCo is imported; neither may touch a run.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

from secateur.errors import SecateurError
from secateur.policy.policy import Task
from secateur.simulate.controller import Controller
from secateur.simulate.rollout import rollout

BACKENDS = ("osmesa", "egl")
"""Of OpenGL without a screen, in the order that they are tried where ``MUJOCO_GL`` names none."""
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Film:
    """What was filmed: files in the folder that it was written to, and the two returns."""

    seed: int
    baseline_return: float
    artifact_return: float
    delay_s: float


def film(
    task: Task,
    baseline: Controller,
    artifact: Controller,
    seed: int,
    delay_s: float,
    to: Path,
) -> Film:
    """Runs one episode of each and writes ``film.webp`` and ``film_still.webp`` to a folder.

    The original acts without delay and the artifact with its own, as in the verdict.

    Raises:
        SecateurError: the environment is none of MuJoCo's, or nothing here can draw.
    """
    recorded = [
        _recorded(task, controller, seed, delay)
        for controller, delay in ((baseline, 0.0), (artifact, delay_s))
    ]
    work = to / "filming"
    work.mkdir()
    mujoco.mj_saveModel(recorded[0][1], str(work / "model.mjb"), None)
    np.savez(work / "states.npz", **_named(recorded), control_hz=np.array(task.control_hz))
    try:
        _draw(work, to)
    finally:
        for path in work.iterdir():
            path.unlink()
        work.rmdir()
    return Film(int(seed), recorded[0][0], recorded[1][0], delay_s)


def _recorded(
    task: Task, controller: Controller, seed: int, delay_s: float
) -> tuple[float, Any, dict[str, np.ndarray]]:
    """Return, model and states of an episode."""
    watched: list[_Watched] = []

    def make_env() -> gymnasium.Env:
        watched.append(_Watched(task.make_env()))
        return watched[-1]

    trajectory = rollout(replace(task, make_env=make_env), controller, seed, delay_s)
    states = watched[0].states
    return (
        trajectory.return_,
        watched[0].model,
        {part: np.stack([s[part] for s in states]) for part in states[0]},
    )


def _named(recorded: Sequence[tuple[float, Any, dict[str, np.ndarray]]]) -> dict[str, Any]:
    return {
        f"{name}_{part}": array
        for name, (_, _, states) in zip(("baseline", "artifact"), recorded)
        for part, array in states.items()
    }


def _draw(work: Path, to: Path) -> None:
    """In a process of its own, by the first backend that works."""
    chosen = os.environ.get("MUJOCO_GL")
    said = ""
    for backend in (chosen,) if chosen else BACKENDS:
        command = [sys.executable, "-m", "secateur.report.film_frames", str(work), str(to)]
        path = os.pathsep.join(part for part in sys.path if part)
        environment = {**os.environ, "MUJOCO_GL": backend, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            said += f" {backend}: no end after {PATIENCE_S:g} s;"
            continue
        if done.returncode == 0:
            return
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        said += f" {backend}: {last[:200]};"
    raise SecateurError(
        "a film is drawn by OpenGL without a screen",
        said.strip(" ;"),
        "Install libosmesa6 and set MUJOCO_GL=osmesa (or egl, with a graphics card).",
    )


class _Watched(gymnasium.Wrapper):
    """Notes the state of the physics after every reset and step, what is drawn of it."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.model, self.data = physics_of(env)
        self.states: list[dict[str, np.ndarray]] = []

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts the record anew."""
        result = self.env.reset(**kwargs)
        self.model, self.data = physics_of(self.env)
        self.states.clear()
        self._note()
        return result

    def step(self, action: Any) -> Any:
        """One control period."""
        result = self.env.step(action)
        self._note()
        return result

    def _note(self) -> None:
        parts = ("qpos", "mocap_pos", "mocap_quat")
        self.states.append({part: np.array(getattr(self.data, part)) for part in parts})


def physics_of(env: gymnasium.Env) -> tuple[Any, Any]:
    """MuJoCo's model and data of an environment: its own, or those of dm_control's physics in it.

    Raises:
        SecateurError: it has none.
    """
    inner: Any = env.unwrapped
    for holder in (inner, getattr(inner, "physics", None), getattr(inner, "_env", None)):
        holder = getattr(holder, "physics", holder)
        model, data = (getattr(holder, name, None) for name in ("model", "data"))
        model, data = (getattr(part, "ptr", part) for part in (model, data))
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return model, data
    raise SecateurError(
        "a film is of a MuJoCo environment",
        f"{type(inner).__name__} shows no model and data of MuJoCo",
        "Give the environment attributes model and data, or do without a film.",
    )
