"""An OpenSSH server on loopback, with keys, users' configuration and a remote environment of its own."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
needs_sshd = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None, reason="package openssh-server is not installed"
)


class Server:
    """A running sshd; ``address`` is what ``--device`` takes.

    Attributes:
        config: of the client; knows key and host key.
        temporary: TMPDIR of remote processes.
        commands: a folder in the remote PATH, for ``python3`` and others.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder, self.commands, self.temporary = folder, folder / "bin", folder / "tmp"
        self.commands.mkdir()
        self.temporary.mkdir()
        self.script("python3", f'exec {sys.executable} "$@"')
        for name in ("host", "user", "stranger"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(key, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        self.known_hosts("host")
        self.client("user")
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder / 'host'}\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {folder / 'authorized'}\nUsePAM no\nPasswordAuthentication no\n"
            f"PermitRootLogin prohibit-password\nSetEnv PATH={self.commands}:/usr/bin:/bin TMPDIR={self.temporary}\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        assert SSHD is not None
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=(folder / "log").open("wb")
        )
        # named in full, because a login may put other folders before ours
        self.address = f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.commands / 'python3'}"
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((folder / "log").read_text())

    def script(self, name: str, line: str) -> None:
        """A command of the remote PATH."""
        path = self.commands / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def known_hosts(self, key: str | None) -> None:
        """What the client knows the host by; None for nothing."""
        kind, text, *_ = (self.folder / f"{key or 'host'}.pub").read_text().split()
        line = f"[127.0.0.1]:{self.port} {kind} {text}\n" if key else ""
        (self.folder / "known_hosts").write_text(line)

    def client(self, key: str) -> None:
        """The client's configuration, with one key."""
        (self.folder / "client_config").write_text(
            f"UserKnownHostsFile {self.folder / 'known_hosts'}\nGlobalKnownHostsFile /dev/null\n"
            f"IdentityFile {self.folder / key}\nIdentitiesOnly yes\nIdentityAgent none\n"
        )

    @property
    def command(self) -> str:
        """For SECATEUR_SSH."""
        return f"ssh -F {self.folder / 'client_config'}"

    def fingerprint(self) -> str:
        """SHA256 of the host's key, as ssh-keygen shows it."""
        command = ["ssh-keygen", "-lf", str(self.folder / "host.pub")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]

    def left_behind(self) -> list[str]:
        """What remote processes left in their TMPDIR, after a moment to clean up."""
        for _ in range(100):
            left = [path.name for path in self.temporary.iterdir()]
            if not left:
                break
            time.sleep(0.1)
        return left

    def wait_for_run(self) -> None:
        """Until a model is being measured there."""
        for _ in range(200):
            if list(self.temporary.glob("secateur-*/job.json")):
                return time.sleep(1.0)
            time.sleep(0.05)
        raise AssertionError("nothing arrived")

    def drop(self) -> None:
        """Kills the sessions, as a lost link would; they are children of our own server."""
        for pid in _children(self.process.pid):
            for inner in [*_children(pid), pid]:
                if "sshd" in Path(f"/proc/{inner}/comm").read_text():
                    os.kill(inner, signal.SIGKILL)

    def stop(self) -> None:
        """Ends the server."""
        self.process.terminate()
        self.process.wait()


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found
