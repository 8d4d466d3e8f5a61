"""The results of a sweep: one SQLite file that one process writes and anybody reads.

``runs`` says what was asked for, ``results`` what came of it: equal for equal sweeps, whoever carried them out, how
often they were broken off, and in which order runs ended. What differs from time to time (seconds, hosts, attempts) is
in ``attempts``. ``meta`` holds what identifies the sweep.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from secateur.errors import SecateurError
from secateur.sweep.file import Run, budget_json
from secateur.sweep.one import RESULTS, STATUSES, Outcome

FILE = "results.sqlite"
SCHEMA = "1"
MAX_FILE_BYTES = 1 << 32

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, policy TEXT NOT NULL, target TEXT NOT NULL, budget TEXT NOT NULL,
    budget_json TEXT NOT NULL, strategy TEXT NOT NULL, importance TEXT NOT NULL, seed INTEGER NOT NULL);
CREATE TABLE results (
    run INTEGER PRIMARY KEY REFERENCES runs, status TEXT NOT NULL, exit_code INTEGER NOT NULL, message TEXT NOT NULL,
    parameters INTEGER, flash_bytes INTEGER, ram_bytes INTEGER, latency_s REAL, cost_source TEXT,
    return_kept REAL, return_kept_low REAL, return_kept_high REAL, return_mean REAL, original_return_mean REAL,
    success_rate REAL, violations TEXT, artifacts TEXT);
CREATE TABLE attempts (
    run INTEGER NOT NULL REFERENCES runs, status TEXT NOT NULL, wall_s REAL NOT NULL, cpu_s REAL NOT NULL,
    worker TEXT NOT NULL);
"""

_NAMES = ("meta", "runs", "results", "attempts")
"""Of the tables. A view in the place of one could be a query without end."""

_COMPARED = ("policy.safetensors", "widths.json", "model.float32.tflite", "model.int8.tflite", "golden.npz")
"""Artifacts whose hashes are kept: equal results have equal ones. Beside these, all of the generated C."""


class Results:
    """The file, open. Use ``create``, ``resume`` or ``look``.

    Attributes:
        path: of it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection
        connection.row_factory = sqlite3.Row

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def add(self, outcome: Outcome) -> None:
        """Keeps how a run ended, in one transaction. A result is never replaced by an error.

        Raises:
            SecateurError: the file cannot be written to.
        """
        row = {"run": outcome.number, "status": outcome.status, "exit_code": outcome.exit_code}
        row |= {"message": outcome.message} | _figures(outcome.summary)
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        with _refusing(self.path), self._connection:
            self._connection.execute(
                "INSERT INTO attempts VALUES (?, ?, ?, ?, ?)",
                (outcome.number, outcome.status, outcome.wall_s, outcome.cpu_s, outcome.worker),
            )
            known = self._connection.execute(
                "SELECT status FROM results WHERE run = ?", (outcome.number,)
            ).fetchone()
            if known is None or known["status"] not in RESULTS:
                self._connection.execute(
                    f"INSERT OR REPLACE INTO results ({names}) VALUES ({marks})", tuple(row.values())
                )

    def finished(self) -> frozenset[int]:
        """Numbers of the runs that have a result."""
        found = self._rows("SELECT run, status FROM results")
        return frozenset(row["run"] for row in found if row["status"] in RESULTS)

    def statuses(self) -> dict[str, int]:
        """Status → how many runs ended so."""
        counts = {status: 0 for status in STATUSES}
        for row in self._rows("SELECT status FROM results"):
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        return {status: count for status, count in counts.items() if count}

    def meta(self) -> dict[str, str]:
        """What identifies the sweep."""
        return {row["name"]: row["value"] for row in self._rows("SELECT name, value FROM meta")}

    def rows(self) -> list[dict[str, Any]]:
        """Every run in order, with its result where it has one (all None where it has not)."""
        query = (
            "SELECT runs.*, results.* FROM runs LEFT JOIN results ON results.run = runs.run ORDER BY runs.run"
        )
        found = []
        for row in self._rows(query):
            plain = {name: row[name] for name in row.keys() if name != "run"}  # noqa: SIM118
            found.append({"run": row[0]} | plain)
        return found

    def attempts(self) -> list[dict[str, Any]]:
        """Every attempt at a run, in the order that they ended in."""
        return [dict(row) for row in self._rows("SELECT * FROM attempts ORDER BY rowid")]

    def digest(self) -> str:
        """sha256 of ``runs`` and ``results``: equal for equal results, byte for byte."""
        return sha256(json.dumps(self.rows(), sort_keys=True).encode()).hexdigest()

    def _rows(self, query: str) -> list[sqlite3.Row]:
        with _refusing(self.path):
            return self._connection.execute(query).fetchall()


def create(folder: Path, runs: Sequence[Run], meta: Mapping[str, str]) -> Results:
    """Writes a new file with nothing but what is asked for, whole or not at all."""
    path = folder / FILE
    part = folder / f".{FILE}.part"
    with _refusing(path):
        part.unlink(missing_ok=True)
        connection = sqlite3.connect(part)
        try:
            with connection:
                connection.executescript(_TABLES)
                named = {"schema": SCHEMA, **meta}
                connection.executemany("INSERT INTO meta VALUES (?, ?)", list(named.items()))
                connection.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_asked, runs))
        finally:
            connection.close()
        part.rename(path)
        return Results(path, _open(path, "rw"))


def resume(folder: Path, meta: Mapping[str, str]) -> Results:
    """Opens the file of a sweep to go on with it.

    Raises:
        SecateurError: it is another sweep's, or not a sweep's at all.
    """
    results = look(folder, "rw")
    before = results.meta()
    for name, value in meta.items():
        if before.get(name) != value:
            results.close()
            raise SecateurError(
                "--resume goes on with the same sweep",
                f"{name} was {_short(before.get(name))} and is now {_short(value)}",
                "Put it back as it was, or start another sweep with another -o.",
            )
    return results


def look(folder: Path, mode: str = "ro") -> Results:
    """Opens the file of a sweep that may be under way.

    Args:
        folder: of the sweep.
        mode: ``ro`` or ``rw``.

    Raises:
        SecateurError: there is none, or it is not one.
    """
    path = folder / FILE
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise SecateurError(
            "a sweep's folder holds its results",
            f"there is no {path} of a sensible size",
            "Run secateur sweep first.",
        )
    with _refusing(path):
        results = Results(path, _open(path, mode))
    kinds = {row["name"]: row["type"] for row in results._rows("SELECT name, type FROM sqlite_master")}
    if any(kinds.get(name) != "table" for name in _NAMES):
        results.close()
        raise SecateurError(
            f"a file of results has the tables {', '.join(_NAMES)}",
            f"{path} has {', '.join(f'the {kind} {name}' for name, kind in kinds.items()) or 'none'}",
            "Read it with what wrote it.",
        )
    schema = results.meta().get("schema")
    if schema != SCHEMA:
        results.close()
        raise SecateurError(
            f"results of a sweep have the schema {SCHEMA}",
            f"{path} has {schema!r}",
            "Read it with what wrote it.",
        )
    return results


def _open(path: Path, mode: str) -> sqlite3.Connection:
    """Opens a file that may come from anybody: no code of its schema runs that is not SQLite's own."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=60.0)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise SecateurError(
            "a sweep's results can be read and written",
            f"{path}: {error}",
            "Mend that, then go on with --resume: what has landed is kept.",
        ) from error


def _asked(run: Run) -> tuple[Any, ...]:
    asked = run.request
    return (
        *(run.number, asked.policy, asked.target, run.budget, budget_json(asked)),
        *(asked.strategy, asked.importance, asked.seed),
    )


def _figures(summary: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is kept of a summary: measured where it was, predicted elsewhere. Nothing that tells of time or place."""
    if summary is None:
        return {}
    measured, predicted, loop = summary["measured"] or {}, summary["predicted"], summary["closed_loop"]

    def cost(name: str) -> Any:
        return predicted[name] if measured.get(name) is None else measured[name]

    hashes = {
        one["path"]: one["sha256"]
        for one in summary["artifacts"]
        if one["path"] in _COMPARED or one["path"].startswith("c/")
    }
    return {
        "parameters": predicted["parameters"],
        "flash_bytes": cost("flash_bytes"),
        "ram_bytes": cost("ram_bytes"),
        "latency_s": cost("latency_s"),
        "cost_source": measured.get("device") or "predicted",
        "return_kept": loop["return_ratio"],
        "return_kept_low": loop["ci95"][0],
        "return_kept_high": loop["ci95"][1],
        "return_mean": loop["artifact_return_mean"],
        "original_return_mean": loop["baseline_return_mean"],
        "success_rate": loop["success_rate"],
        "violations": json.dumps(summary["verdict"]["violations"]),
        "artifacts": json.dumps(hashes, sort_keys=True),
    }


def _short(value: str | None) -> str:
    return "missing" if value is None else value if len(value) <= 40 else f"{value[:12]}…"
