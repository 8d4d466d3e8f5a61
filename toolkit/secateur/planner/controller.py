"""The bundle at the controls: the program that runs on the robot, imported as it stands in its folder."""

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from secateur.policy.policy import Task


class BundleController:
    """A ``Controller``: one robot's program per lane, each with its own plans and random numbers.

    A new episode starts the random numbers again, so an episode is a function of its seed alone.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        """``folder`` holds policy.json; programs are started as lanes are asked for."""
        self.folder, self.task = folder, task
        self.described = json.loads((folder / "policy.json").read_text())
        self._program = program(folder)
        self._lanes: dict[int, Any] = {}

    def reset(self, lanes: Sequence[int]) -> None:
        """A new episode in each of these lanes."""
        for lane in lanes:
            self._lane(lane).reset()

    def act(self, observations: Sequence[Any], lanes: Sequence[int]) -> list[Any]:
        """One action for each observation."""
        return [self._act(self._lane(lane), seen) for lane, seen in zip(lanes, observations)]

    def _act(self, policy: Any, observation: Any) -> Any:
        taken = self.task.to_inputs(observation) if self.described["observation"] is None else observation
        given = policy.act(taken)
        return self.task.to_action(given) if self.described["action"] is None else given

    def _lane(self, lane: int) -> Any:
        if lane not in self._lanes:
            with _importable(self.folder):
                self._lanes[lane] = self._program.Policy(self.folder)
        return self._lanes[lane]


def program(folder: Path) -> ModuleType:
    """``robot.py`` of a bundle as a module."""
    with _importable(folder):
        spec = importlib.util.spec_from_file_location("robot", folder / "robot.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """What lies in the folder can be imported by name, as on the robot, and is forgotten afterwards."""
    names = {path.stem for path in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)
