"""The bundle at the controls: the program that runs on the robot.

A bundle may be part of a run that came from others, and its program is Python. So what is run is the copy that secateur
writes into bundles, after the bundle's own was held against it, byte for byte.
"""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from secateur.errors import SecateurError, following_schema
from secateur.litert.story import ROBOT
from secateur.policy.policy import Task
from secateur.runfolder import read_document


class BundleController:
    """A ``Controller``: one robot's program per lane, each with its own plans and random numbers.

    A new episode starts the random numbers again, so an episode is a function of its seed alone.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        """``folder`` holds policy.json; programs are started as lanes are asked for.

        Raises:
            SecateurError: a bundle that is damaged, or whose program is another; see ``program``.
        """
        self.folder, self.task = folder, task
        self.described = _described(folder)
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
            with _importable(), following_schema("a bundle", self.folder, RuntimeError):
                self._lanes[lane] = self._program.Policy(self.folder)
        return self._lanes[lane]


def _described(folder: Path) -> dict[str, Any]:
    """``policy.json``, whose files are in its folder."""
    try:
        document = dict(read_document(folder / "policy.json"))
        names = [str(file["file"]) for file in document["files"]]
        if any(Path(name).name != name for name in names):
            raise ValueError(f"a file of it is elsewhere: {', '.join(names)}")
        _ = document["observation"], document["action"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SecateurError(
            "a bundle's policy.json says what is in its folder", f"{folder}: {error}", "Export it again."
        ) from error
    return document


def program(folder: Path) -> ModuleType:
    """``robot.py`` as a module, the same as a bundle's.

    Raises:
        SecateurError: a bundle with other Python in it than secateur writes.
    """
    for path in sorted(folder.glob("*.py")):
        own = ROBOT / path.name
        if not own.is_file() or own.read_bytes() != path.read_bytes():
            raise SecateurError(
                "the program of a bundle is the one that this version of secateur writes; no other is run",
                f"{path} is another",
                "Take the version that wrote it, or prune or export again.",
            )
    with _importable():
        spec = importlib.util.spec_from_file_location("robot", ROBOT / "robot.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable() -> Iterator[None]:
    """The program's files can be imported by name, as on the robot, and are forgotten afterwards."""
    names = {path.stem for path in ROBOT.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(ROBOT))
    try:
        yield
    finally:
        sys.path.remove(str(ROBOT))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)
