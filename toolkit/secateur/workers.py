"""Where calls are carried out: in this process, in processes of this machine (joblib's loky), or on a Ray cluster.

Whoever has work takes ``Workers``, or None for "here". A call is a module's own function with arguments that can be
pickled. Calls end in any order, and are told apart by their number. That a call raised, or that its process is gone, is
an answer as a result is: who asked says what it means.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from secateur.errors import SecateurError, UsageError

_WATCH_S = 0.5
_IDLE_S = 300
"""A worker process that has had nothing to do for so long ends; another starts when there is something."""

T = TypeVar("T")


@dataclass(frozen=True)
class Raised:
    """In place of a result: what the call raised."""

    error: Exception


@dataclass(frozen=True)
class Lost:
    """In place of a result: the process that was at the call, or was to be, is gone."""

    why: str


class Workers(Protocol):
    """Carries calls out, several at a time, in processes other than this one."""

    @property
    def count(self) -> int:
        """How many calls are under way at a time."""

    @property
    def tells_which(self) -> bool:
        """Whether a call that is lost has killed its process, each time it was tried; else another may have."""

    def ended(
        self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, T | Raised | Lost]]:
        """Every call's number and its result, as they end. To be closed where not all are taken."""


def value(answer: T | Raised | Lost) -> T:
    """The result of a call; raises what it raised, or SecateurError where its process is gone."""
    if isinstance(answer, Raised):
        raise answer.error
    if isinstance(answer, Lost):
        raise SecateurError(
            "every process lives until its work is done",
            f"one was ended from outside, or crashed ({answer.why})",
            "Free some memory, or take fewer processes.",
        )
    return answer


def ask(workers: Workers, function: Callable[..., T], *arguments: Any) -> T | Raised | Lost:
    """The answer to a single call, waited for."""
    with closing(workers.ended(function, [arguments])) as answers:  # type: ignore[type-var]
        ((_, answer),) = answers
    return answer


@contextmanager
def at_work(
    processes: int | None, address: str | None, folder: Path, *files: Path
) -> Iterator[Workers | None]:
    """Workers as a command line asks for them; None for this process.

    Args:
        processes: of this machine; None or 1 for this one alone.
        address: of a Ray cluster, or None.
        folder: of the results, which every node of it must see, or the nearest around it that is there already.
        files: that every node must see as well.

    Raises:
        UsageError: both are given.
        SecateurError: as ``cluster.connected``.
    """
    if address is not None:
        require_one_place("--processes", processes, address)
        from secateur.cluster import connected

        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
        with connected(address, there.resolve(), *files) as cluster:
            yield cluster
    elif processes in (None, 1):
        yield None
    else:
        workers = Processes(int(processes or 1))
        try:
            yield workers
        finally:
            workers.close()


def processes_here() -> int:
    """How many processes run at the same time on this machine, as far as this one may use it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_one_place(option: str, processes: int | None, address: str | None) -> None:
    """Raises UsageError where processes of this machine and a cluster are asked for."""
    if processes is not None and address is not None:
        raise UsageError(
            "work is done by processes of this machine or on a cluster",
            f"got {option} and --cluster",
            "Leave one out.",
        )


def nothing() -> None:
    """Does nothing."""


class Processes:
    """Worker processes of this machine. Where one dies, loky tells that one did and not which.

    Args:
        count: how many.
        begin: a module's function that each calls when it starts, all at the same time: imports that take seconds.
    """

    tells_which = False

    def __init__(self, count: int, begin: Callable[[], None] = nothing) -> None:
        self.count, self.begin = count, begin
        self._executor: Any = None

    def ended(
        self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, T | Raised | Lost]]:
        """As ``Workers.ended``. Once a process dies, all that had no result by then are lost."""
        from joblib.externals.loky import get_reusable_executor
        from joblib.externals.loky.process_executor import BrokenProcessPool

        self._executor = get_reusable_executor(
            self.count, timeout=_IDLE_S, initializer=started_worker, initargs=(self.begin,)
        )
        waiting = iter(enumerate(calls))
        under_way: dict[Future[T], int] = {}
        lost: list[int] = []
        why = ""
        try:
            while True:
                while (
                    not lost and len(under_way) < 2 * self.count and (call := next(waiting, None)) is not None
                ):
                    try:
                        under_way[self._executor.submit(function, *call[1])] = call[0]
                    except BrokenProcessPool as error:
                        lost.append(call[0])
                        why = first_line(error)
                if not under_way:
                    break
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    number, answer = under_way.pop(future), _answer(future)
                    if isinstance(answer, Lost):
                        lost.append(number)
                        why = answer.why
                    else:
                        yield number, answer
            if lost:
                self._kill()
            for number in (*lost, *(number for number, _ in waiting)):
                yield number, Lost(why)
        except BaseException:  # also where the rest is not wanted any more
            self._kill()
            raise

    def close(self) -> None:
        """Lets the processes end, once they have nothing to do."""
        if self._executor is not None:
            self._executor.shutdown(wait=True)

    def _kill(self) -> None:
        with suppress(Exception):
            groups = list(self._executor._processes or ())
            self._executor.shutdown(wait=True, kill_workers=True)
            for group in groups:
                with suppress(OSError):
                    os.killpg(group, signal.SIGKILL)


def _answer(future: "Future[T]") -> T | Raised | Lost:
    """What came of a call of loky's that is over."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenProcessPool):
        return Lost(first_line(error))
    return Raised(error if isinstance(error, Exception) else in_words(error))


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def in_words(error: BaseException) -> Exception:
    """The same in words: which need nothing of the other side to be read, and end no process, as a SystemExit does."""
    return RuntimeError(f"{type(error).__name__}: {first_line(error)}")


def started_worker(begin: Callable[[], None] = nothing) -> None:
    """What a worker process does before its first call."""
    become_worker()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a policy prints is not part of --json
    begin()


def become_worker() -> None:
    """Makes this process one that leaves no orphans: it goes where its parent goes, and takes its children along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears it, and ends its workers
    with suppress(OSError):
        os.setpgid(0, 0)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: even where no thread of ours runs
    _guard()
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="secateur-parent").start()


def _guard() -> None:
    """Starts a process that ends what this one leaves when it dies of anything: compilers, emulators, films."""
    worker = os.getpid()
    if os.fork():
        return
    try:
        os.setsid()
        os.closerange(0, 1 << 16)  # else nobody would see by the worker's pipes that it is gone
        while os.getppid() == worker:
            time.sleep(_WATCH_S)
        os.killpg(worker, signal.SIGKILL)
    finally:
        os._exit(0)
