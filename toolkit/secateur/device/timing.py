"""Timing .tflite files on a computer, this one or one behind ssh: what is sent, what comes back, what can go wrong."""

import contextlib
import io
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from secateur.device.bootstrap import main as _bootstrap_main
from secateur.device.runner import PROTOCOL
from secateur.errors import SecateurError

RUNNER = Path(__file__).with_name("runner.py")
BOOTSTRAP = Path(_bootstrap_main.__code__.co_filename)

SILENCE_S = 30.0
"""A device says once a second that it is alive; after so long without, the link is taken for dead."""

_FAREWELL_S = 10.0


class Link(Protocol):
    """A way to a computer."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    def command(self, bootstrap: str) -> list[str]:
        """What to start here so that ``python3 -c bootstrap`` runs there, with its standard input and output."""
        ...

    def explain(self, code: int, said: str) -> SecateurError:
        """Why it ended without a result: the exit code and what it wrote on standard error."""
        ...


class Here:
    """This computer."""

    def __init__(self, python: str = sys.executable) -> None:
        self.name = "host"
        self._python = python

    def command(self, bootstrap: str) -> list[str]:
        """See ``Link.command``."""
        return [self._python, "-c", bootstrap]

    def explain(self, code: int, said: str) -> SecateurError:
        """See ``Link.explain``."""
        return SecateurError(
            "the runner ends with a result", f"exit code {code}; {_last_line(said)}", "Run it again."
        )


@dataclass(frozen=True, eq=False)
class Timed:
    """One signature of a .tflite to be timed.

    Attributes:
        name: for reports.
        model: the .tflite.
        signature: None for the only one.
        inputs: stored values ``[n, ...]`` by name, few; they are called over again.
    """

    name: str
    model: bytes
    signature: str | None
    inputs: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Effort:
    """How long is measured: until the median's interval is narrow enough, within limits.

    Attributes:
        threads: of each call.
        confidence: of that interval: 0.9, 0.95 or 0.99.
        half_width: half its width over the median.
        min_calls, max_calls: at least and at most.
        warmup_s, max_s: before the first call that counts, and after it.
    """

    threads: int = 1
    confidence: float = 0.95
    half_width: float = 0.02
    min_calls: int = 1000
    max_calls: int = 100_000
    warmup_s: float = 0.3
    max_s: float = 10.0


def time_models(
    link: Link,
    models: Sequence[Timed],
    effort: Effort,
    progress: Callable[[float, str], None] = lambda *_: None,
) -> dict[str, Any]:
    """Copies the runner and the models over, runs them and gives what it found; see ``runner.run``.

    Raises:
        SecateurError: the computer cannot be reached, lacks something, or was lost on the way.
    """
    head, content = _pack(models, effort)
    process = _start(link)
    reports: queue.Queue[tuple[str, Any] | None] = queue.Queue()
    said: list[bytes] = []
    readers = [
        threading.Thread(target=_read, args=(process.stdout, reports), daemon=True),
        threading.Thread(target=lambda: said.append(process.stderr.read()), daemon=True),  # type: ignore[union-attr]
    ]
    for reader in readers:
        reader.start()
    try:
        threading.Thread(target=_write, args=(process, head + content), daemon=True).start()
        while True:
            try:
                report = reports.get(timeout=SILENCE_S)
            except queue.Empty:
                raise SecateurError(
                    "a device says once a second that it is alive",
                    f"{link.name} has said nothing for {SILENCE_S:g} s",
                    "Check its network and power, then run again.",
                ) from None
            if report is None:
                process.wait()
                readers[1].join(1)
                raise link.explain(process.returncode, b"".join(said).decode("utf-8", "replace"))
            kind, value = report
            if kind == "progress":
                progress(value["done"] / value["of"], f"{link.name}: {value['name']}")
            elif kind == "error":
                raise _refusal(link.name, *value)
            elif kind == "result":
                return value
    finally:
        _end(process)


def _pack(models: Sequence[Timed], effort: Effort) -> tuple[bytes, bytes]:
    runner, files, listed = RUNNER.read_bytes(), {}, []
    for index, model in enumerate(models):
        file, given, buffer = f"model{index}.tflite", f"inputs{index}.npz", io.BytesIO()
        np.savez(buffer, **model.inputs)  # type: ignore[arg-type]
        files[file], files[given] = model.model, buffer.getvalue()
        listed.append({"name": model.name, "file": file, "signature": model.signature, "inputs": given})
    job = {
        "protocol": PROTOCOL,
        "runner_sha256": sha256(runner).hexdigest(),
        "models": listed,
        **vars(replace(effort)),
    }
    files = {"runner.py": runner, "job.json": json.dumps(job).encode(), **files}
    rows = [[name, len(data), sha256(data).hexdigest()] for name, data in files.items()]
    return (json.dumps({"files": rows}) + "\n").encode(), b"".join(files.values())


def _start(link: Link) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C reaches it through us: it must get to clean up."""
    command = link.command(BOOTSTRAP.read_text(encoding="utf-8"))
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    except OSError as error:
        raise SecateurError(
            "the program that reaches a device can be started",
            f"{command[0]}: {error.strerror}",
            "Install it: for ssh:// that is OpenSSH's client.",
        ) from error


def _read(stream: Any, reports: "queue.Queue[tuple[str, Any] | None]") -> None:
    for line in stream:
        if line.startswith(b"SECATEUR "):
            try:
                ((kind, value),) = json.loads(line[9:]).items()
            except (ValueError, AttributeError):
                reports.put(("error", ["transfer", f"a line of {len(line)} bytes is not JSON"]))
                return
            reports.put((kind, value))
    reports.put(None)


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(data)
        process.stdin.flush()
    except (OSError, ValueError):
        return  # the other side has said why, or its end has


def _end(process: subprocess.Popen[bytes]) -> None:
    """Closing its input tells the device to stop and clean up; it is given time to."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_FAREWELL_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


_RULES = {
    "numpy": ("the device has numpy", "Install it there: python3 -m pip install numpy."),
    "runtime": (
        "the device has ai-edge-litert or tflite-runtime, built for its architecture",
        "Install one there: python3 -m pip install ai-edge-litert (tflite-runtime with numpy<2 on older systems).",
    ),
    "disk": ("the device has room for the models", "Free some space there, or set TMPDIR to another disk."),
    "stale": ("the runner on the device is the one that was sent", "Remove what intercepts the copy."),
    "transfer": ("files reach the device whole", "Check the link and run again."),
    "crash": ("the runtime runs the model", "Try it with another version of the runtime."),
    "failed": ("the runner does its work", "See what it says."),
}


def _refusal(name: str, kind: str, seen: str) -> SecateurError:
    rule, remedy = _RULES.get(kind, _RULES["failed"])
    return SecateurError(rule, f"{name}: {seen}", remedy)
