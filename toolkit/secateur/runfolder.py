"""A run's folder: written stage by stage, each whole or not at all, so that a killed run goes on where it was.

While a run is under way its stages stand in ``.stages/<name>/``, each with a ``stage.json`` of hashes, each moved
there by one rename. At the end their files are moved up, then ``manifest.json``, then ``summary.json`` is written:
a folder with a summary is a finished run, and nothing is ever written over one.
"""

import fcntl
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO, Any

from secateur.errors import SecateurError

SCHEMA = 1
_OF_A_NAME = 48
"""Characters of a file's name that the name of its unfinished part begins with: both fit where the file's does."""

SUMMARY = "summary.json"
MANIFEST = "manifest.json"
MAX_DOCUMENT_BYTES = 1 << 26
_REQUEST = "request.json"
_STAGES = ".stages"
_LOCK = ".lock"


def write_atomically(path: Path, data: bytes) -> None:
    """Writes the file, whole or not at all, and onto the disk before it gets its name."""
    part = path.with_name(f".{path.name[:_OF_A_NAME]}.{os.getpid()}.part")
    with part.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)


def cache_folder() -> Path:
    """Where results are kept that several runs can use; ``SECATEUR_CACHE`` names another place."""
    return Path(os.environ.get("SECATEUR_CACHE") or Path.home() / ".cache" / "secateur")


def request_of(folder: Path) -> dict[str, Any]:
    """What a finished run was asked for, with what identifies it.

    Raises:
        SecateurError: it does not say.
    """
    try:
        return dict(read_document(folder / _REQUEST))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SecateurError(
            "a run says what it was asked for", f"{folder / _REQUEST}: {error}", "Run it again."
        ) from error


def control_rate(folder: Path) -> float | None:
    """Rate of the task that a run was made for, in Hz; None where it is not told."""
    try:
        told = read_document(folder / _REQUEST).get("control_hz")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return float(told) if isinstance(told, int | float) and 0 < told < math.inf else None


def require_new(path: Path) -> None:
    """Raises SecateurError where something is at a path already, an empty folder apart."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise SecateurError(
            "nothing is written over an earlier result", f"{path} is there already", "Choose another -o."
        )


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Writes a new folder, whole or not at all: relative path → content.

    Raises:
        SecateurError: something is there already, or it cannot be written to.
    """
    require_new(path)
    path = Path(os.path.abspath(path))
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name[:_OF_A_NAME]}.", dir=path.parent))
        for name, data in files.items():
            (part / "whole" / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(part / "whole" / name, data)
        os.replace(part / "whole", path)
    except OSError as error:
        raise SecateurError(
            "the folder can be written to", f"{path}: {error}", "Choose another -o."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def to_json(value: Any) -> bytes:
    """Readable JSON with a newline at the end; NaN is refused."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def file_hash(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def read_finished(folder: Path) -> dict[str, Any]:
    """The summary of a finished run, after its files were held against the manifest.

    Raises:
        SecateurError: no finished run there, or a file that is missing or was changed since.
    """
    try:
        manifest = read_document(folder / MANIFEST)
        summary = read_document(folder / SUMMARY)
        hashes = {str(name): wanted for name, wanted in dict(manifest["files"]).items()}
        schema = summary["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        begun = "Run secateur prune first, or again with --resume."
        raise SecateurError(
            "a run folder holds summary.json and manifest.json",
            f"{folder}: {error}",
            "Run it again into a new folder." if (folder / SUMMARY).exists() else begun,
        ) from error
    if schema != SCHEMA:
        raise SecateurError(
            f"a summary has the schema {SCHEMA}",
            f"{folder / SUMMARY} has {schema!r}",
            "Read it with the version of secateur that wrote it, or run again.",
        )
    for name, wanted in hashes.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file() or file_hash(path) != wanted:
            raise SecateurError(
                "the files of a run are as the run wrote them",
                f"{folder / name} is missing or was changed",
                "Run it again into a new folder.",
            )
    return summary


def read_document(path: Path) -> Any:
    """A file of JSON that may come from anybody. Raises OSError, and ValueError where it is none of ours."""
    size = path.stat().st_size
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{path.name} has {size:,} bytes, of at most {MAX_DOCUMENT_BYTES:,}")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deep") from None


def widths_of(folder: Path) -> dict[str, int]:
    """Group → width, as a run, or its stage, states it.

    Raises:
        SecateurError: it does not.
    """
    path = folder / "widths.json"
    try:
        widths = read_document(path)
        if not isinstance(widths, dict) or any(type(n) is not int or n < 1 for n in widths.values()):
            raise ValueError("it is no object of whole numbers above zero")
        return widths
    except (OSError, ValueError) as error:
        raise SecateurError(
            "a run states the width of each group", f"{path}: {error}", "Run it again into a new folder."
        ) from error


def _beginning(name: str) -> bool:
    """True for all that a run killed in its first moment leaves."""
    return name == _LOCK or (name.startswith(f".{_REQUEST}.") and name.endswith(".part"))


_STAGE = "stage.json"


def stage_seconds(folder: Path, remedy: str) -> float:
    """What a finished stage took, s, after its files were held against its own record.

    Args:
        folder: of the stage.
        remedy: what to do where they differ.

    Raises:
        SecateurError: a file is missing, was added or was changed, or the record cannot be read.
    """
    try:
        record = read_document(folder / _STAGE)
        wanted, seconds = dict(record["files"]), float(record["wall_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SecateurError(
            "a stage has a record of its files", f"{folder / _STAGE}: {error}", remedy
        ) from error
    there = _hashes(folder)
    for file in sorted(wanted.keys() | there.keys()):
        if there.get(file) != wanted.get(file):
            raise SecateurError(
                "the files of a stage are as it wrote them",
                f"{folder / file} is missing, was added or was changed",
                remedy,
            )
    return seconds


def make_stage(final: Path, produce: Callable[[Path], None]) -> None:
    """Makes the folder of a stage by ``produce(folder)``, whole or not at all; nobody else may be at it."""
    started = time.perf_counter()
    part = final.with_name(f".{final.name}")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    produce(part)
    record = {"files": _hashes(part), "wall_s": time.perf_counter() - started}
    write_atomically(part / _STAGE, to_json(record))
    os.replace(part, final)


def _hashes(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of every file of a stage but its record."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): file_hash(p) for p in files if p != folder / _STAGE}


class FolderInUse(SecateurError):
    """Another process is at work in the folder."""


class RunFolder:
    """One run, from its first stage to its summary. Use as a context manager: it holds the folder's lock.

    Args:
        path: of the folder; made if missing.
        request: what was asked for. A resumed run must ask for the same.
        resume: go on with what is there, rather than refuse to touch it.

    Attributes:
        earlier_s: what stages took that an earlier process finished.

    Raises:
        SecateurError: something is there already and ``resume`` was not asked for; or another request's run;
            or another process is at work in it.
    """

    def __init__(self, path: Path, request: Mapping[str, Any], resume: bool) -> None:
        self.path, self.request, self.resume = path, json.loads(to_json(dict(request))), resume
        self._lock: IO[str] | None = None
        self.earlier_s = 0.0
        self._require_free()

    def __enter__(self) -> "RunFolder":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / _LOCK).open("w")
        except OSError as error:
            raise SecateurError(
                "the run's folder can be written to", f"{self.path}: {error}", "Choose another -o."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise FolderInUse(
                "one run at a time works in a folder", f"{self.path} is in use", "Wait, or choose another -o."
            ) from error
        try:
            self._require_free()  # again: another run may have been here before the lock was ours
        except SecateurError:
            self._lock.close()
            raise
        if not (self.path / _REQUEST).exists():
            write_atomically(self.path / _REQUEST, to_json(self.request))
        (self.path / _STAGES).mkdir(exist_ok=True)
        for left_over in (self.path / _STAGES).glob(".*"):
            shutil.rmtree(left_over)
        for left_over in self.path.rglob(".*.part"):
            left_over.unlink()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lock is not None:
            self._lock.close()

    @property
    def finished(self) -> bool:
        """True where the summary has been written."""
        return (self.path / SUMMARY).is_file()

    def _require_free(self) -> None:
        """Raises SecateurError where something is there that must not be touched."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise SecateurError("a run is written to a folder", f"{path} is a file", "Choose another -o.")
        existing = path.is_dir() and any(not _beginning(entry.name) for entry in path.iterdir())
        if existing and not self.resume:
            raise SecateurError(
                "nothing is written over an earlier result",
                f"{path} is not empty",
                "Choose another -o, or go on with --resume.",
            )
        if existing:
            self._require_same_request()

    def _require_same_request(self) -> None:
        try:
            before = dict(read_document(self.path / _REQUEST))
        except (OSError, ValueError, TypeError) as error:
            raise SecateurError(
                "--resume goes on with a run of secateur",
                f"{self.path} holds something else ({error})",
                "Choose another -o.",
            ) from error
        for key in sorted(before.keys() | self.request.keys()):
            if before.get(key) != self.request.get(key):
                raise SecateurError(
                    "--resume goes on with the same request",
                    f"{key} was {before.get(key)!r} and is now {self.request.get(key)!r}",
                    "Repeat the first command, or choose another -o.",
                )

    def stage(self, name: str, produce: Callable[[Path], None]) -> Path:
        """The folder of a stage: as it was left by an earlier process, or made now by ``produce(folder)``.

        Raises:
            SecateurError: files of an earlier stage were changed since.
        """
        final = self.path / _STAGES / name
        if final.is_dir():
            self.earlier_s += stage_seconds(final, "Start again in a new folder.")
        else:
            make_stage(final, produce)
        return final

    def publish(
        self,
        artifacts: Mapping[str, Path],
        provenance: Mapping[str, Any],
        summary: Callable[[list[dict[str, Any]]], Mapping[str, Any]],
    ) -> None:
        """Copies artifacts into the folder, then writes the manifest, then the summary; then the stages go.

        Args:
            artifacts: path within the folder → where it is now.
            provenance: what the manifest says beside the hashes.
            summary: artifacts as [{path, sha256, bytes}] → the summary.
        """
        listed = []
        for name, source in sorted(artifacts.items()):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            data = source.read_bytes()
            write_atomically(target, data)
            listed.append({"path": name, "sha256": sha256(data).hexdigest(), "bytes": len(data)})
        summarised = to_json(dict(summary(listed)))
        files = {entry["path"]: entry["sha256"] for entry in listed} | {
            SUMMARY: sha256(summarised).hexdigest()
        }
        write_atomically(self.path / MANIFEST, to_json({"schema": SCHEMA, **provenance, "files": files}))
        write_atomically(self.path / SUMMARY, summarised)
        self.tidy()

    def tidy(self) -> None:
        """Removes the stages of a finished run; a run killed just before this has them still."""
        if self.finished:
            shutil.rmtree(self.path / _STAGES, ignore_errors=True)
