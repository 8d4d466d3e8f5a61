"""Computers behind OpenSSH: its configuration, agent, keys and known hosts, and nobody else's.

Passwords are never asked for and an unknown host is never trusted. SECATEUR_SSH names another command than ``ssh``,
with options if need be (``SECATEUR_SSH="ssh -F my_config"``).
"""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from urllib.parse import urlsplit

from secateur.errors import SecateurError, UsageError

_OPTIONS = (
    ("BatchMode", "yes"),
    ("StrictHostKeyChecking", "yes"),
    ("ConnectTimeout", "10"),
    ("ServerAliveInterval", "3"),
    ("ServerAliveCountMax", "3"),
    ("ClearAllForwardings", "yes"),
)
_NO_SUCH_COMMAND = 127
_CANNOT_RUN = 126


def ssh_command() -> list[str]:
    """OpenSSH's client, as the user wants it started."""
    return shlex.split(os.environ.get("SECATEUR_SSH", "ssh"))


@dataclass(frozen=True)
class Ssh:
    """A ``timing.Link``: ``ssh://[user@]host[:port][/path/of/python]``.

    Attributes:
        name: the address, for reports.
        host: as ssh knows it, an alias of its configuration included.
        user, port: None for ssh's own choice.
        python: the interpreter there.
    """

    name: str
    host: str
    user: str | None
    port: int | None
    python: str

    def command(self, bootstrap: str) -> list[str]:
        """See ``Link.command``."""
        return [*self._ssh(), f"exec {shlex.quote(self.python)} -c {shlex.quote(bootstrap)}"]

    def _ssh(self, *more: str) -> list[str]:
        options = [text for key, value in _OPTIONS for text in ("-o", f"{key}={value}")]
        port = ["-p", str(self.port)] if self.port else []
        return [
            *ssh_command(),
            *more,
            "-T",
            *options,
            *port,
            "--",
            f"{self.user}@{self.host}" if self.user else self.host,
        ]

    def explain(self, code: int, said: str) -> SecateurError:
        """See ``Link.explain``."""
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
            return self._changed_key(said)
        if "Host key verification failed" in said or "host key is known" in said:
            return self._unknown_key()
        if "Permission denied" in said:
            return SecateurError(
                "the device lets you in with a key",
                f"{self.name}: {_line_with(said, 'Permission denied')}",
                "Put your public key there (ssh-copy-id) and load it (ssh-add); passwords are not asked for.",
            )
        if code in (_NO_SUCH_COMMAND, _CANNOT_RUN):
            return SecateurError(
                "the device has Python 3",
                f"{self.name} has no {self.python} that runs",
                f"Install it there, or name it: ssh://{self.host}/path/of/python3.",
            )
        if code == 255 and not re.search(
            r"connect to host|resolve hostname|No route|refused|kex_exchange", said
        ):
            return SecateurError(
                "the link holds while the device measures",
                f"{self.name}: {_last(said) or 'the connection ended'}",
                "Check network and power, then run again; what was copied there removes itself.",
            )
        return SecateurError(
            "the device can be reached with ssh",
            f"{self.name}: {_last(said) or f'exit code {code}'}",
            f"Try it by hand: ssh {self.host}.",
        )

    def _unknown_key(self) -> SecateurError:
        """Refused, with the fingerprint that the host shows, so that it can be compared and accepted by hand."""
        done = subprocess.run(
            [*self._ssh("-v"), "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30
        )
        found = re.search(r"Server host key: (\S+) (\S+)", done.stderr.decode("utf-8", "replace"))
        key = f"its key is {found[1]} {found[2]}" if found else "its key could not be read"
        port = f"-p {self.port} " if self.port else ""
        return SecateurError(
            "a device's host key is known before anything is sent to it",
            f"{self.name} is not in known_hosts; {key}",
            f"Compare it with the device's own (ssh-keygen -lf), then accept it: ssh {port}{self.host}.",
        )

    def _changed_key(self, said: str) -> SecateurError:
        found = re.search(r"(SHA256:\S+?)\.?\s", said)
        return SecateurError(
            "a device shows the host key that it is known by",
            f"{self.name} shows another, {found[1] if found else 'unreadable'}",
            f"If the device was installed anew: ssh-keygen -R {self.host}; if not, somebody is in between.",
        )


def _line_with(said: str, text: str) -> str:
    return next(line.strip() for line in said.splitlines() if text in line)


def _last(said: str) -> str:
    lines = [
        line.strip() for line in said.splitlines() if line.strip() and "Warning: Permanently" not in line
    ]
    return lines[-1] if lines else ""


def parse_ssh(address: str) -> Ssh:
    """``ssh://[user@]host[:port][/path/of/python]``.

    Raises:
        UsageError: anything else; a password in it, above all.
    """
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host = None, None
    if not host or host.startswith("-") or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "a device behind ssh is ssh://[user@]host[:port][/path/of/python]",
            f"got {address!r}",
            "Write for example ssh://pi@raspberrypi.local.",
        )
    # urlsplit lowers the host's case; an alias of ssh's configuration may have capitals
    written = parts.netloc.rpartition("@")[2].removesuffix(f":{port}").strip("[]:")
    user = parts.username
    if user and user.startswith("-"):
        raise UsageError("a user's name starts with a letter", f"got {user!r}", "Correct it.")
    python = parts.path if len(parts.path) > 1 else "python3"
    return Ssh(address, written, user, port, python)
