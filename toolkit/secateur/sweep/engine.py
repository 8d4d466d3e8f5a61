"""Who carries a sweep's runs out: worker processes of this machine (joblib's loky), or tasks on a Ray cluster.

Either way a run is one call of ``carry_out``, in a process that it can kill: an environment that crashes natively ends
its worker, not the sweep. Where processes die, loky tells that one did and not which: the runs that were under way are
then done again, each alone, so that the one which kills its process is known by that. Ray knows by itself, and tries
again elsewhere where a node went away.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from secateur.errors import EXIT_ERROR, SecateurError
from secateur.sweep.one import Errand, Outcome, carry_out, hung

_ENVIRONMENT = ("PYTHONPATH", "SECATEUR_CACHE", "MUJOCO_GL", "SECATEUR_DEBUG")
"""Variables that workers of a cluster get as they are here."""

_RETRIES = 3
"""Of a run on a cluster whose process or node goes away."""

_FRUITLESS = 3
"""So often all workers may die before a run begins."""

_WATCH_S = 0.5
_ANSWER_S = 10.0

Carry = Callable[[Errand], Outcome]


class Engine(Protocol):
    """Carries errands out."""

    @property
    def workers(self) -> int:
        """How many runs are under way at a time."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """One call in a worker, waited for. Raises SecateurError where it kills its process."""

    def outcomes(self, errands: Sequence[Errand]) -> Iterator[Outcome]:
        """Every errand's outcome, as they end."""


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


def started_worker() -> None:
    """What a worker process does before its first run."""
    become_worker()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a policy prints is not part of --json


@dataclass
class Processes:
    """Worker processes of this machine.

    Attributes:
        jobs: how many.
        carry: what a worker does with an errand.
    """

    jobs: int
    carry: Carry = carry_out

    @property
    def workers(self) -> int:
        """How many runs are under way at a time."""
        return self.jobs

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """One call in a worker, waited for."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        try:
            return self._executor(self.jobs).submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise _died(function, error) from error

    def outcomes(self, errands: Sequence[Errand]) -> Iterator[Outcome]:
        """Every errand's outcome, as they end."""
        try:
            waiting, alone = list(errands), list[Errand]()
            fruitless = 0
            while waiting or alone:
                broken: list[Errand] = []
                if alone:
                    yield self._alone(alone.pop())
                    continue
                fruitless += 1
                for errand, outcome in self._round(waiting, self.jobs):
                    if outcome is None:
                        broken.append(errand)
                    else:
                        fruitless = 0
                        yield outcome
                alone = [errand for errand in broken if errand.started.exists()]
                waiting = [errand for errand in broken if errand not in alone]
                fruitless = 0 if alone else fruitless
                if waiting and fruitless == _FRUITLESS:
                    raise SecateurError(
                        "workers live long enough to begin a run",
                        f"they died {fruitless} times before any of {len(waiting)} runs had begun",
                        "See whether memory is short (fewer --jobs), then go on with --resume.",
                    )
        except BaseException:
            self._kill()
            raise

    def _alone(self, errand: Errand) -> Outcome:
        """The outcome of a run that may kill its process."""
        if (known := hung(errand)) is not None:
            return known
        ((_, outcome),) = self._round([errand], 1)
        errand.started.unlink(missing_ok=True)
        if outcome is not None:
            return outcome
        return hung(errand) or Outcome(
            errand.number,
            "crashed",
            EXIT_ERROR,
            "its process died, twice, the second time with no other run beside it",
        )

    def _round(self, errands: Sequence[Errand], jobs: int) -> Iterator[tuple[Errand, Outcome | None]]:
        """Errands and outcomes until all are done, or until a process dies: None for those that had none by then."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        executor = self._executor(jobs)
        waiting = iter(errands)
        under_way: dict[Future[Outcome], Errand] = {}
        lost: list[Errand] = []
        while True:
            while not lost and len(under_way) < 2 * jobs and (errand := next(waiting, None)) is not None:
                try:
                    under_way[executor.submit(self.carry, errand)] = errand
                except BrokenProcessPool:
                    lost.append(errand)
            if not under_way:
                break
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                errand = under_way.pop(future)
                try:
                    yield errand, future.result()
                except BrokenProcessPool:
                    lost.append(errand)
        if lost:
            self._kill()
        for errand in (*lost, *waiting):
            yield errand, None

    @staticmethod
    def _executor(jobs: int) -> Any:
        from joblib.externals.loky import get_reusable_executor

        return get_reusable_executor(jobs, timeout=300, initializer=started_worker)

    @staticmethod
    def _kill() -> None:
        from joblib.externals.loky import get_reusable_executor

        with suppress(Exception):
            executor = get_reusable_executor(timeout=300, initializer=started_worker, reuse=True)
            groups = list(executor._processes or ())
            executor.shutdown(wait=True, kill_workers=True)
            for group in groups:
                with suppress(OSError):
                    os.killpg(group, signal.SIGKILL)


def _died(function: Callable[..., Any], error: BaseException) -> SecateurError:
    return SecateurError(
        "policies and environments leave their process alive",
        f"a worker died in {function.__name__} ({_first_line(error)})",
        "Run secateur inspect and secateur prune on each policy to see which.",
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@dataclass
class Cluster:
    """Tasks on a Ray cluster. All nodes see the sweep's folder, the policies and the targets under the same paths.

    Attributes:
        ray: the module.
        carry: what a worker does with an errand.
    """

    ray: Any
    carry: Carry = carry_out

    @property
    def workers(self) -> int:
        """CPUs of the nodes that are there now."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """One call on some node, waited for."""
        try:
            return self.ray.get(self._task(function).remote(*arguments))
        except (self.ray.exceptions.WorkerCrashedError, self.ray.exceptions.NodeDiedError) as error:
            raise _died(function, error) from error
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, SecateurError) else error from None

    def outcomes(self, errands: Sequence[Errand]) -> Iterator[Outcome]:
        """Every errand's outcome, as they end."""
        task = self._task(self.carry)
        waiting = iter(errands)
        under_way: dict[Any, Errand] = {}
        try:
            while True:
                while len(under_way) < 2 * self.workers and (errand := next(waiting, None)) is not None:
                    under_way[task.remote(errand)] = errand
                if not under_way:
                    return
                done, _ = self.ray.wait(list(under_way), num_returns=1, timeout=5.0)
                for reference in done:
                    errand = under_way.pop(reference)
                    yield self._outcome(reference, errand)
        except BaseException:
            for reference in under_way:
                self.ray.cancel(reference, force=True)
            raise

    def _outcome(self, reference: Any, errand: Errand) -> Outcome:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return hung(errand) or Outcome(
                errand.number,
                "crashed",
                EXIT_ERROR,
                f"its process died in each of {_RETRIES + 1} attempts ({type(error).__name__})",
            )

    def _task(self, function: Callable[..., Any]) -> Any:
        return self.ray.remote(function).options(num_cpus=1, max_retries=_RETRIES)


@contextmanager
def cluster(address: str, folder: Path) -> Iterator[Cluster]:
    """A connection to a Ray cluster.

    Args:
        address: as ``ray.init`` takes it: ``auto``, ``host:port`` or ``ray://host:port``.
        folder: of the sweep, which every node must see.

    Raises:
        SecateurError: Ray is not installed, no cluster is there, or a node does not see the folder or has other code.
    """
    try:
        import ray
    except ImportError as error:
        raise SecateurError(
            "a cluster is one of Ray",
            "ray is not installed",
            "Install secateur[cluster], or leave --cluster out.",
        ) from error
    _require_answer(address)
    variables = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    variables["OMP_NUM_THREADS"] = "1"
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": variables},
            ignore_reinit_error=False,
        )
    except Exception as error:  # Ray raises many kinds
        raise SecateurError(
            "the cluster answers",
            f"{address}: {type(error).__name__}: {_first_line(error)}",
            "Start it: ray start --head.",
        ) from error
    try:
        _require_nodes(ray, folder)
        # Ray prints of nodes that went away; standard output belongs to --json.
        with redirect_stdout(sys.stderr):
            yield Cluster(ray)
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raises SecateurError where nothing listens there; Ray itself asks for minutes on end."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise SecateurError(
            "the cluster answers", f"{address}: {error}", "Start it: ray start --head."
        ) from error


def _require_nodes(ray: Any, folder: Path) -> None:
    """Raises SecateurError where a node does not see the sweep's folder, or has other code."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from secateur.shared import code_sha256

    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    looks = [
        ray.remote(seen_from_here)
        .options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
        )
        .remote(folder)
        for node in alive
    ]
    try:
        found = ray.get(looks, timeout=120)
    except Exception as error:
        raise SecateurError(
            "every node of the cluster has secateur and answers",
            _first_line(error)[:300],
            "Install the same version everywhere.",
        ) from error
    for node, (sees, code) in zip(alive, found):
        if not sees or code != code_sha256():
            raise SecateurError(
                "every node of the cluster sees the sweep's folder and has the same secateur",
                f"{node['NodeManagerHostname']} " + ("has other code" if sees else f"sees no {folder}"),
                "Share the folder (NFS, for example) and install the same version everywhere.",
            )


def seen_from_here(folder: Path) -> tuple[bool, str]:
    """Whether this node sees a folder, and which code it has."""
    from secateur.shared import code_sha256

    return folder.is_dir(), code_sha256()
