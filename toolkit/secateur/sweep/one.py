"""One run of a sweep, in a worker: whatever it does, it ends as an outcome; only the death of its process does not."""

import faulthandler
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from secateur.errors import EXIT_ERROR, EXIT_VERDICT_FAILED, BudgetInfeasible, SecateurError, refused
from secateur.pipeline import PruneRequest, prune
from secateur.runfolder import FolderInUse
from secateur.shared import SharedStages, code_sha256

GRACE_S = 20.0
"""After a run's time is up, its process is ended if it has not listened by then."""

IN_USE_S = 120.0
"""So long a run waits for another attempt at the same run to let go of its folder."""

STATUSES = ("passed", "failed", "infeasible", "error", "timeout", "crashed")
"""How a run can end: verdict passed or failed, budget infeasible; an error; given up; its process died."""

RESULTS = STATUSES[:3]
"""Those that are results. The others are done again on ``--resume``."""


@dataclass(frozen=True)
class Errand:
    """What a worker is told: everything by value, paths absolute.

    Attributes:
        number: of the run.
        request: what is asked of ``prune``.
        folder: of the sweep; every worker sees it.
        limit_s: after which the run is given up.
        inputs: hashes of policy and target as they were when the sweep was checked.
        code: hash of the toolkit that checked them.
    """

    number: int
    request: PruneRequest
    folder: Path
    limit_s: float
    inputs: Mapping[str, str]
    code: str

    @property
    def output(self) -> Path:
        """The run's own folder."""
        return self.folder / "runs" / f"{self.number:05d}"

    @property
    def started(self) -> Path:
        """A file that is there while a worker is at the run."""
        return self.folder / ".started" / str(self.number)

    @property
    def hung(self) -> Path:
        """A file that has something in it after a run's process was ended because it did not listen."""
        return self.folder / ".started" / f"{self.number}.hung"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        number: of the run.
        status: one of ``STATUSES``.
        exit_code: as of ``secateur prune``.
        message: of an error; empty for others.
        summary: of a finished run.
        wall_s: what this attempt took.
        cpu_s: of processors, children included.
        worker: host and process.
    """

    number: int
    status: str
    exit_code: int
    message: str = ""
    summary: Mapping[str, Any] | None = None
    wall_s: float = 0.0
    worker: str = ""
    cpu_s: float = 0.0


class TimeIsUp(BaseException):
    """Raised in a run that takes longer than it may; no exception that a policy's own code should catch."""


def carry_out(errand: Errand) -> Outcome:
    """Runs ``prune`` for one run of a sweep, into its folder, going on with what is there."""
    began, used = time.perf_counter(), sum(os.times()[:4])
    worker = f"{socket.gethostname()}:{os.getpid()}"

    def ended(status: str, code: int, message: str = "", summary: Mapping[str, Any] | None = None) -> Outcome:
        took, cpu = time.perf_counter() - began, sum(os.times()[:4]) - used
        return Outcome(errand.number, status, code, message, summary, took, worker, cpu)

    try:
        if (earlier := hung(errand)) is not None:  # another attempt's process: this one would not end either
            return earlier
        errand.started.parent.mkdir(parents=True, exist_ok=True)
        errand.started.write_text(worker)
        with limited(errand.limit_s, errand.hung), _quiet():
            summary = _pruned(errand)
        passed = summary["verdict"]["passed"]
        return ended("passed" if passed else "failed", 0 if passed else EXIT_VERDICT_FAILED, summary=summary)
    except BudgetInfeasible as error:
        return ended("infeasible", error.exit_code, str(error))
    except TimeIsUp:
        return ended("timeout", EXIT_ERROR, f"it was given up after {errand.limit_s:g} s")
    except (Exception, SystemExit) as error:  # of code that is not ours: it ends this run, not the sweep
        known = refused(error)
        text = str(known) if known else f"{type(error).__name__}: {error}"
        return ended("error", known.exit_code if known else EXIT_ERROR, text[:2000])
    finally:
        with suppress(OSError):
            errand.started.unlink(missing_ok=True)


def imports() -> None:
    """Imports what every run needs, which takes seconds: workers do it as they start, all at the same time."""
    with _quiet():
        import gymnasium  # noqa: F401
        import litert_torch  # noqa: F401
        import mujoco  # noqa: F401

        import secateur.exporting
        import secateur.stages  # noqa: F401


def _pruned(errand: Errand) -> Mapping[str, Any]:
    require_inputs(errand)
    deadline = time.monotonic() + IN_USE_S
    while True:
        try:
            command = f"secateur sweep (run {errand.number})"
            return prune(
                errand.request, errand.output, True, command, shared=SharedStages(errand.folder / "shared")
            )
        except FolderInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def require_inputs(errand: Errand) -> None:
    """Raises SecateurError where policy, target or toolkit are not what they were when the sweep was checked."""
    from secateur.job import prepare

    found = inputs_of(prepare(errand.request).identity)
    for name, wanted in errand.inputs.items():
        if found[name] != wanted:
            raise SecateurError(
                "policies and targets stay as they are while a sweep runs",
                f"{name} of {errand.request.policy} on {errand.request.target} was {wanted[:12]}… "
                f"and is {found[name][:12]}…",
                "Put the files back, or start another sweep.",
            )
    if errand.code != code_sha256():
        raise SecateurError(
            "every worker of a sweep runs the same secateur",
            f"{socket.gethostname()} has other code",
            "Install the same version everywhere.",
        )


def inputs_of(identity: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of a run's inputs."""
    return {key: identity[key] for key in ("weights_sha256", "code_sha256", "target_sha256")}


def hung(errand: Errand) -> Outcome | None:
    """The outcome of a run whose process was ended because it did not listen; None where it was not."""
    try:
        where = errand.hung.read_text(errors="replace")
    except OSError:
        return None
    if not where:
        return None
    errand.hung.unlink(missing_ok=True)
    errand.started.unlink(missing_ok=True)
    main_thread = where.rpartition("hread 0x")[2]  # the last of the dump
    lines = [line.strip() for line in main_thread.splitlines() if line.strip().startswith("File")]
    at = f", in {lines[0]}" if lines else ""
    return Outcome(
        errand.number,
        "timeout",
        EXIT_ERROR,
        f"it did not end within {errand.limit_s:g} s and did not listen{at}",
    )


@contextmanager
def limited(seconds: float, trace: Path) -> Iterator[None]:
    """Raises TimeIsUp inside after so many seconds; ends the process a little later where nothing listens.

    The first is a signal, which Python code hears. The second is a thread of C, which needs no Python: it writes where
    the process is to ``trace`` and exits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread alone
        return

    def up(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with trace.open("w") as stream:
            faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True, file=stream)
            try:
                yield
            finally:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0)
                finally:  # also where the time was up just now: else the thread would end the next run
                    faulthandler.cancel_dump_traceback_later()
                    signal.signal(signal.SIGALRM, before)
    finally:
        trace.unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """What libraries write to standard error leads nowhere: workers share the driver's screen."""
    from secateur.terminal import quiet_libraries

    with quiet_libraries():
        yield
