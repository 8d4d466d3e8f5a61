"""Stages that several runs share: each made once, in a folder named by the hash of all that decides it.

``FOLDER/<stage>/<hash>/`` holds what the stage wrote and its record, as in a run's own folder. Whoever comes first
makes it under a lock, and the others wait for the lock; whoever is killed meanwhile gives the lock up and leaves
nothing that is taken for whole. ``FOLDER/made.log`` has a line for each that was made.
"""

import fcntl
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from secateur.errors import SecateurError
from secateur.runfolder import make_stage, stage_seconds, to_json

MADE = "made.log"


@cache
def code_sha256(*folders: str) -> str:
    """Of the toolkit's own Python, in some folders or all: what other code made is not what this code would make."""
    found = sha256()
    root = Path(__file__).parent
    for path in sorted(path for folder in folders or (".",) for path in (root / folder).rglob("*.py")):
        found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


@dataclass(frozen=True)
class SharedStages:
    """A folder of shared stages, which any number of processes may use at a time."""

    folder: Path

    def stage(self, name: str, decided_by: Mapping[str, Any], produce: Callable[[Path], None]) -> Path:
        """The folder of a stage: as somebody left it, or made now by ``produce(folder)``.

        Args:
            name: of the stage.
            decided_by: everything that its files depend on, but for the toolkit's own code.
            produce: writes it.

        Raises:
            SecateurError: files were changed since they were written, or the folder cannot be written to.
        """
        key = sha256(to_json({**decided_by, "code": code_sha256()})).hexdigest()
        final = self.folder / name / key
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            lock = (final.parent / f"{key}.lock").open("w")
        except OSError as error:
            raise SecateurError(
                "the folder of shared stages can be written to",
                f"{final.parent}: {error}",
                "Choose another -o.",
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if final.is_dir():
                stage_seconds(final, f"Remove {final}, and it is made again.")
                return final
            make_stage(final, produce)
            _note(self.folder / MADE, f"{name} {key}\n")
        return final

    def made(self) -> dict[str, int]:
        """Name of a stage → how often one of its kind was made, by any process."""
        counts: dict[str, int] = {}
        path = self.folder / MADE
        for line in path.read_text().splitlines() if path.is_file() else ():
            name = line.split(" ")[0]
            counts[name] = counts.get(name, 0) + 1
        return counts


def _note(path: Path, line: str) -> None:
    """One write at the end of the file, so that lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
