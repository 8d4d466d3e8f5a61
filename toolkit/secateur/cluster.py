"""Calls as tasks on a Ray cluster, whose nodes see the same files under the same paths and have the same secateur.

Ray knows which call killed its process, and tries again elsewhere where a node went away.
"""

import logging
import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

from secateur.errors import SecateurError
from secateur.workers import Lost, Raised, first_line, in_words

_ENVIRONMENT = ("PYTHONPATH", "SECATEUR_CACHE", "MUJOCO_GL", "SECATEUR_DEBUG")
"""Variables that workers of a cluster get as they are here."""

_RETRIES = 3
"""Of a call whose process or node goes away."""

_ANSWER_S = 10.0

_GONE = ("WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "OutOfMemoryError", "ObjectLostError")
"""Ray's errors that say that a process is gone, or what it gave with its node."""

T = TypeVar("T")


@dataclass(frozen=True)
class Cluster:
    """Workers on a Ray cluster.

    Attributes:
        ray: the module, connected.
    """

    ray: Any
    tells_which = True

    @property
    def count(self) -> int:
        """CPUs of the nodes that are there now."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def ended(
        self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, T | Raised | Lost]]:
        """As ``Workers.ended``.

        Raises:
            SecateurError: the cluster went away.
        """
        task = self.ray.remote(answered).options(num_cpus=1, max_retries=_RETRIES)
        waiting = iter(enumerate(calls))
        under_way: dict[Any, int] = {}
        try:
            while True:
                while len(under_way) < 2 * self.count and (call := next(waiting, None)) is not None:
                    under_way[task.remote(function, call[1])] = call[0]
                if not under_way:
                    return
                done, _ = self.ray.wait(list(under_way), num_returns=1, timeout=5.0)
                for reference in done:
                    yield under_way.pop(reference), self._answer(reference)
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            raise SecateurError(
                "the cluster is there until all is done",
                f"{type(error).__name__}: {first_line(error)}",
                "Start it again; what was finished is kept where --resume goes on.",
            ) from error
        finally:
            for reference in under_way:
                with suppress(Exception):
                    self.ray.cancel(reference, force=True)

    def _answer(self, reference: Any) -> Any:
        """What came of a task: nothing that Ray raises is more than the end of this one call."""
        try:
            return pickle.loads(self.ray.get(reference))
        except Exception as error:
            gone = tuple(getattr(self.ray.exceptions, name) for name in _GONE)
            if isinstance(error, gone):
                return Lost(f"in each of {_RETRIES + 1} attempts: {type(error).__name__}")
            return Raised(in_words(getattr(error, "cause", None) or error))


def answered(function: Callable[..., Any], call: tuple[Any, ...]) -> bytes:
    """A call's answer, pickled; in a worker. As bytes, because Ray's arrays cannot be written to."""
    try:
        answer = function(*call)
    except Exception as error:
        answer = Raised(error)
    except SystemExit as error:  # of the call's own: Ray would end the process, and try again
        answer = Raised(in_words(error))
    try:
        return pickle.dumps(answer)
    except Exception as error:  # of what it gave, or of what it raised
        told = answer.error if isinstance(answer, Raised) else error
        return pickle.dumps(Raised(in_words(told)))


@contextmanager
def connected(address: str, folder: Path, *files: Path) -> Iterator[Cluster]:
    """A connection to a Ray cluster.

    Args:
        address: as ``ray.init`` takes it: ``auto``, ``host:port`` or ``ray://host:port``.
        folder: of the results, which every node must see.
        files: that every node must see as well.

    Raises:
        SecateurError: Ray is not installed, no cluster is there, or a node does not see the folder or a file, or has
            other code.
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
            f"{address}: {type(error).__name__}: {first_line(error)}",
            "Start it: ray start --head.",
        ) from error
    # Ray prints of nodes that went away, at the latest when it shuts down; standard output belongs to --json.
    with redirect_stdout(sys.stderr):
        try:
            with _sign(folder) as sign:
                _require_nodes(ray, (sign, *files))
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


@contextmanager
def _sign(folder: Path) -> Iterator[Path]:
    """A file in a folder, by which others know that it is this folder; the folder where it cannot be written to."""
    with ExitStack() as stack:
        sign = folder
        with suppress(OSError):
            sign = Path(stack.enter_context(NamedTemporaryFile(prefix=".secateur-", dir=folder)).name)
        yield sign


def _require_nodes(ray: Any, files: Sequence[Path]) -> None:
    """Raises SecateurError where a node does not see what it must, or has other code."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from secateur.shared import code_sha256

    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    looks = [
        ray.remote(seen_from_here)
        .options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
        )
        .remote(files)
        for node in alive
    ]
    try:
        found = ray.get(looks, timeout=120)
    except Exception as error:
        raise SecateurError(
            "every node of the cluster has secateur and answers",
            first_line(error)[:300],
            "Install the same version everywhere.",
        ) from error
    for node, (missing, code) in zip(alive, found):
        if missing or code != code_sha256():
            raise SecateurError(
                "every node of the cluster sees the folder of the results and has the same secateur",
                f"{node['NodeManagerHostname']} "
                + (f"sees no {missing[0]}" if missing else "has other code"),
                "Share the folder (NFS, for example) and install the same version everywhere.",
            )


def seen_from_here(files: Sequence[Path]) -> tuple[list[Path], str]:
    """Files that this node does not see, and which code it has."""
    from secateur.shared import code_sha256

    return [file for file in files if not file.exists()], code_sha256()
