"""Unpacks what comes on standard input into a folder of its own, runs the runner there, and leaves nothing behind.

Given to ``python3 -c`` on the device, as text, so it keeps to Python 3.7 and its standard library. Standard input is
one line of JSON, ``{"files": [[name, bytes, sha256], …]}``, then the files, one after the other; then it stays open.
When it ends before the runner does, the other side is gone: the runner is stopped and the folder removed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any

PREFIX = "secateur-"


_WHOLE_LINES = threading.Lock()


def write(line: bytes) -> None:
    """Lines come from two threads, and a long one is written in several parts: one after the other."""
    with _WHOLE_LINES:
        sys.stdout.buffer.write(line)
        sys.stdout.flush()


def say(kind: str, value: Any) -> None:
    """One line of the protocol."""
    write(b"SECATEUR " + json.dumps({kind: value}).encode() + b"\n")


def forward(stream: Any) -> None:
    """What the runner says, line by line; the other side is told elsewhere when it is gone."""
    try:
        for line in stream:
            write(line)
    except OSError:
        pass


def sweep(parent: str) -> None:
    """Folders of ours whose process is gone, and could not clean up: the power failed, say."""
    for name in os.listdir(parent):
        pid = name[len(PREFIX) :].split("-")[0]
        path = os.path.join(parent, name)
        if name.startswith(PREFIX) and pid.isdigit() and os.stat(path).st_uid == os.getuid():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                shutil.rmtree(path, ignore_errors=True)
            except OSError:
                pass


def unpack(stream: Any, folder: str) -> None:
    """Writes the files; raises ValueError where one did not arrive whole."""
    for name, size, digest in json.loads(stream.readline().decode())["files"]:
        data = stream.read(size)
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(f"{name} arrived with {len(data)} of {size} bytes")
        with open(os.path.join(folder, name), "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(target.fileno())


def main() -> int:
    """Returns the exit code."""
    runner: Any = []

    def stop(*_: Any) -> None:
        if runner and runner[0].poll() is None:
            os.killpg(runner[0].pid, signal.SIGKILL)
        raise SystemExit(1)

    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    folder = None
    try:
        sweep(tempfile.gettempdir())
        folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
        unpack(sys.stdin.buffer, folder)
        command = [sys.executable, os.path.join(folder, "runner.py"), os.path.join(folder, "job.json")]
        runner.append(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
            )
        )
        forwarder = threading.Thread(target=forward, args=(runner[0].stdout,))
        forwarder.daemon = True
        forwarder.start()

        def watch() -> None:
            while os.read(0, 4096):
                pass
            os.kill(os.getpid(), signal.SIGTERM)

        watcher = threading.Thread(target=watch)
        watcher.daemon = True
        watcher.start()
        while True:
            try:
                code = runner[0].wait(1)
                forwarder.join()
                return int(code)
            except subprocess.TimeoutExpired:
                say("alive", True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if error.errno != errno.EPIPE:
            say("error", ["disk" if full else "failed", f"{tempfile.gettempdir()}: {error.strerror}"])
        return 1
    except ValueError as error:
        say("error", ["transfer", str(error)])
        return 1
    finally:
        if runner and runner[0].poll() is None:
            os.killpg(runner[0].pid, signal.SIGKILL)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        code = main()
    except SystemExit:
        code = 1
    os._exit(code)  # a thread may be writing: an orderly end would wait for it
