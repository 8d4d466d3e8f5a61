"""The story of ``secateur sweep``.

file → runs → all of them checked → how long it will take → carried out, each result kept as it lands → one report
"""

import fcntl
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from secateur import __version__
from secateur.cluster import connected
from secateur.errors import SecateurError, following_schema
from secateur.pipeline import Progress
from secateur.report.sweep import document_of, render_sweep
from secateur.runfolder import write_atomically
from secateur.shared import SharedStages, code_sha256
from secateur.sweep.engine import call, outcomes
from secateur.sweep.estimate import Durations, earlier, kind_of
from secateur.sweep.file import Run, Sweep, read_sweep
from secateur.sweep.one import RESULTS, Errand, imports
from secateur.sweep.results import FILE, Results, create, look, resume
from secateur.workers import Processes, Workers

REPORT = "report.html"
_LOCK = ".lock"

SILENT = Progress()
"""Tells nobody."""


def sweep(
    file: Path,
    output: Path,
    jobs: int,
    address: str | None = None,
    go_on: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Carries a sweep out, and gives its document, as ``secateur report`` shows it.

    Args:
        file: the sweep's TOML.
        output: its folder.
        jobs: worker processes, where there is no cluster.
        address: of a Ray cluster; None for processes of this machine.
        go_on: with what is there: runs that have a result are not done again.
        progress: told of stages, and in words of what is going to be done.

    Raises:
        SecateurError: a file that is not valid, a run that cannot be asked for, or a folder that must not be written
            to; all before the first run. What a run meets is in its result.
    """
    asked = read_sweep(file)
    _require_folder(output, go_on)
    output = output.resolve()
    with _locked(output):
        _require_folder(output, go_on)  # again: another sweep may have been here before the lock was ours
        shutil.rmtree(output / ".started", ignore_errors=True)
        progress.stage(f"checking {len(asked.runs)} runs")
        with closing(Processes(jobs, imports)) if address is None else connected(address, output) as workers:
            return _carried_out(asked, output, workers, go_on, progress)


def _carried_out(
    asked: Sweep, output: Path, workers: Workers, go_on: bool, progress: Progress
) -> dict[str, Any]:
    inputs = check(asked.runs, output, workers, progress)
    meta = {
        "sweep": asked.identity,
        "secateur": __version__,
        "code": code_sha256(),
        **{f"inputs of {name}": hashed for name, hashed in _named(asked.runs, inputs).items()},
    }
    results = resume(output, meta) if go_on and (output / FILE).exists() else create(output, asked.runs, meta)
    try:
        done = results.finished()
        missing = [run for run in asked.runs if run.number not in done]
        durations = _earlier(output, asked.runs, results)
        progress.tell(plan_in_words(asked, missing, durations, workers.count))
        errands = [
            Errand(run.number, run.request, output, 60 * asked.minutes, inputs[run.number], code_sha256())
            for run in missing
        ]
        progress.stage("runs")
        _each(errands, asked, workers, results, durations, progress)
        document = _document(results, output)
        write_atomically(output / REPORT, render_sweep(document).encode())
        shutil.rmtree(output / ".started", ignore_errors=True)
        return document
    finally:
        results.close()


def _each(
    errands: Sequence[Errand],
    asked: Sweep,
    workers: Workers,
    results: Results,
    durations: Durations,
    progress: Progress,
) -> None:
    """Keeps every outcome as it lands, and says how long the rest will take."""
    left = {errand.number: kind_of(asked.runs[errand.number]) for errand in errands}
    total, began = len(asked.runs), time.monotonic()
    bad = 0
    for outcome in outcomes(workers, errands):
        results.add(outcome)
        kind = left.pop(outcome.number)
        bad += outcome.status not in RESULTS
        if outcome.status in RESULTS and outcome.status != "infeasible":
            durations.learn(kind, outcome.wall_s)
        rest = durations.remaining_s(left.values(), workers.count)
        errors = f", {bad} in error" if bad else ""
        progress.share(
            (total - len(left)) / total,
            f"{total - len(left)} of {total}{errors}, {in_words(time.monotonic() - began)} so far, "
            f"{'unknown' if rest is None else in_words(rest)} to go",
        )


def check(
    runs: Sequence[Run], output: Path, workers: Workers, progress: Progress
) -> dict[int, Mapping[str, str]]:
    """Loads every policy and target that a sweep names, in a worker, and asks whether each run can be asked for.

    Returns:
        Number of a run → hashes of its inputs.

    Raises:
        SecateurError: of the first run that cannot be, naming it.
    """
    found: dict[int, Mapping[str, str]] = {}
    alike: dict[str, list[int]] = {}
    for run in runs:
        alike.setdefault(repr(replace(run.request, seed=0)), []).append(run.number)
    groups = list(alike.values())
    step = 64
    for start in range(0, len(groups), step):
        some = groups[start : start + step]
        checked = call(
            workers, checked_inputs, [(runs[group[0]].number, runs[group[0]].request) for group in some]
        )
        for group, inputs in zip(some, checked, strict=True):
            found |= {number: inputs for number in group}
        progress.share(min(1.0, (start + step) / len(groups)), "")
    return found


def checked_inputs(requests: Sequence[tuple[int, Any]]) -> list[dict[str, str]]:
    """Hashes of the inputs of some runs, which were prepared; raises SecateurError for the first that cannot be."""
    from secateur.job import prepare
    from secateur.sweep.one import inputs_of
    from secateur.terminal import quiet_libraries

    found = []
    for number, request in requests:
        try:
            with quiet_libraries():
                found.append(inputs_of(prepare(request).identity))
        except SecateurError as error:
            raise SecateurError(
                error.rule, f"{error.seen} (run {number}: {request.policy} on {request.target})", error.remedy
            ) from error
    return found


def plan_in_words(asked: Sweep, missing: Sequence[Run], durations: Durations, workers: int) -> str:
    """What is going to be done and how long it will take, from earlier runs."""
    policies = {run.request.policy for run in asked.runs}
    targets = {run.request.target for run in asked.runs}
    text = f"{_count(len(asked.runs), 'run', 'runs')}: {_count(len(policies), 'policy', 'policies')}"
    text += f" on {_count(len(targets), 'target', 'targets')}"
    if len(missing) < len(asked.runs):
        text += f"; {len(missing)} missing"
    text += f"; {_count(workers, 'worker', 'workers')}"
    rest = durations.remaining_s([kind_of(run) for run in missing], workers)
    if not missing:
        return text
    if rest is None:
        return text + "; no earlier run of these policies is known, so the time will show as runs end"
    return text + f"; about {in_words(rest)}, by {_count(durations.count, 'earlier run', 'earlier runs')}"


def in_words(seconds: float) -> str:
    """A stretch of time: ``42 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def report(folder: Path) -> dict[str, Any]:
    """The document of a sweep, finished or under way; writes its page anew."""
    results = look(folder)
    try:
        with following_schema("a file of results", results.path, TemplateError):
            document = _document(results, folder)
            page = render_sweep(document)
    finally:
        results.close()
    write_atomically(folder / REPORT, page.encode())
    return document


def _document(results: Results, folder: Path) -> dict[str, Any]:
    made = SharedStages(folder / "shared").made()
    return document_of(results.rows(), results.attempts(), results.digest(), made)


def is_sweep(folder: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (folder / FILE).is_file()


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _named(runs: Sequence[Run], inputs: Mapping[int, Mapping[str, str]]) -> dict[str, str]:
    """Policy or target → hash of its files."""
    found = {}
    for run in runs:
        hashed = inputs[run.number]
        found[f"policy {run.request.policy}"] = hashed["weights_sha256"] + hashed["code_sha256"]
        found[f"target {run.request.target}"] = hashed["target_sha256"]
    return found


def _earlier(output: Path, runs: Sequence[Run], results: Results) -> Durations:
    """What earlier runs beside this sweep took, and this sweep's own; its own alone where there are some."""
    own = Durations()
    for one in results.attempts():
        if one["status"] in RESULTS and one["status"] != "infeasible":
            own.learn(kind_of(runs[one["run"]]), one["wall_s"])
    return own if own.count else earlier(output.parent, runs)


def _require_folder(output: Path, go_on: bool) -> None:
    if output.exists() and not output.is_dir():
        raise SecateurError("a sweep is written to a folder", f"{output} is a file", "Choose another -o.")
    there = {path.name for path in output.iterdir()} - {_LOCK, ".started"} if output.is_dir() else set()
    there = {name for name in there if not name.startswith(f".{FILE}")}
    if there and not go_on:
        raise SecateurError(
            "nothing is written over an earlier result",
            f"{output} is not empty",
            "Choose another -o, or go on with --resume.",
        )
    if there and FILE not in there:
        raise SecateurError(
            "--resume goes on with a sweep", f"{output} holds something else", "Choose another -o."
        )


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / _LOCK).open("w")
    except OSError as error:
        raise SecateurError(
            "the sweep's folder can be written to", f"{output}: {error}", "Choose another -o."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SecateurError(
                "one sweep at a time works in a folder", f"{output} is in use", "Wait, or choose another -o."
            ) from error
        yield
