"""An Arm computer in user-mode emulation: QEMU, a Debian arm64 userland with Python, and a TFLite runtime's wheels.

Made once in a cache folder, by the package clients of this machine and from the mirrors that they are set up for:
apt for QEMU and the userland, unpacked rather than installed, and pip for wheels. What it needs is a Debian with apt,
dpkg-deb and pip; anything else is refused with what is missing.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.errors import SecateurError
from secateur.runfolder import cache_folder

EMULATOR = "qemu-aarch64"
LEAST_VERSION = 10
"""QEMU 7.2 crashes in LiteRT."""

EMULATOR_SUITE, USERLAND_SUITE = "trixie", "bookworm"
PYTHON = "3.11"
USERLAND = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6")

RUNTIMES: dict[str, tuple[str, ...]] = {
    "ai-edge-litert": ("ai-edge-litert==2.3.0", "numpy==2.4.6"),
    "tflite-runtime": ("tflite-runtime==2.14.0", "numpy==1.26.4"),
}
"""Runtime → wheels; its own Python imports find nothing else."""

_TAGS = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_34")
_ARM = ("--implementation", "cp", "--python-version", PYTHON, *(f"--platform={tag}_aarch64" for tag in _TAGS))

_APT = """\
Dir::State "{folder}/state";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/none";
Dir::Etc::preferences "{folder}/none";
Dir::Etc::preferencesparts "{folder}/none";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Debug::NoLocking "true";
"""


@dataclass(frozen=True)
class Machine:
    """What starts a Python for aarch64 here.

    Attributes:
        emulator: path of qemu-aarch64.
        version: of it.
        userland: root of the Debian tree.
        wheels: folder of the runtime's packages for it.
        own_wheels: the same for this computer.
    """

    emulator: Path
    version: str
    userland: Path
    wheels: Path
    own_wheels: Path

    def emulated(self, cpu: str) -> list[str]:
        """What starts Python on an emulated core."""
        return [
            *(str(self.emulator), "-cpu", cpu, "-L", str(self.userland)),
            *("-E", f"PYTHONPATH={self.wheels}", "-E", f"PYTHONHOME={self.userland / 'usr'}"),
            *("-E", "OMP_NUM_THREADS=1", "-E", "OPENBLAS_NUM_THREADS=1"),
            str(self.userland / "usr" / "bin" / f"python{PYTHON}"),
        ]

    def here(self) -> list[str]:
        """What starts Python on this computer, with the same runtime and nothing else."""
        return ["env", f"PYTHONPATH={self.own_wheels}", sys.executable, "-S"]


def machine(runtime: str) -> Machine:
    """The machine with a runtime of ``RUNTIMES``; what is not in the cache yet is fetched.

    Raises:
        SecateurError: this computer lacks what that takes.
    """
    cache = cache_folder() / "aarch64"
    emulator, version = _emulator(cache)
    userland = _kept(cache / f"{USERLAND_SUITE}-python{PYTHON}", _userland)
    wanted, own = RUNTIMES[runtime], f"{platform.machine()}-{platform.python_version()}"
    name = "-".join(wanted).replace("==", "-")
    wheels = _kept(cache / f"{name}-aarch64", lambda at: _wheels(at, wanted, _ARM))
    return Machine(
        emulator, version, userland, wheels, _kept(cache / f"{name}-{own}", lambda at: _wheels(at, wanted))
    )


def _kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made whole or not at all."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            make(made := Path(work) / "made")
            made.rename(folder)
    return folder


def _emulator(cache: Path) -> tuple[Path, str]:
    """The one of this computer where it is new enough, or one of a later Debian's, unpacked."""
    for name in (EMULATOR, f"{EMULATOR}-static"):
        if (found := shutil.which(name)) and _version(Path(found))[0] >= LEAST_VERSION:
            return Path(found), _version(Path(found))[1]
    _require("dpkg")
    own = _run("dpkg", "--print-architecture").strip()
    folder = _kept(
        cache / f"qemu-{EMULATOR_SUITE}", lambda at: _unpack(at, EMULATOR_SUITE, own, ("qemu-user",))
    )
    program = folder / "usr" / "bin" / EMULATOR
    return program, _version(program)[1]


def _version(program: Path) -> tuple[int, str]:
    said = re.search(r"version ((\d+)[\d.]*)", _run(str(program), "--version"))
    return (int(said[2]), said[1]) if said else (0, "")


def _userland(at: Path) -> None:
    _unpack(at, USERLAND_SUITE, "arm64", USERLAND)
    for name in ("lib", "bin"):  # that these are links is in no package that holds files
        if not (at / name).exists():
            (at / name).symlink_to(f"usr/{name}")


def _wheels(at: Path, wanted: Sequence[str], options: Sequence[str] = ()) -> None:
    install = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--no-compile",
    )
    _run(*install, *options, "--target", str(at), *wanted)


def _unpack(at: Path, suite: str, architecture: str, packages: Sequence[str]) -> None:
    """Debian packages with all that they depend on, in a folder; nothing of this system is touched."""
    for program in ("apt-get", "dpkg-deb"):
        _require(program)
    mirror = _mirror()
    with tempfile.TemporaryDirectory(dir=at.parent) as work:
        apt = Path(work)
        for part in ("state/lists/partial", "cache/archives/partial", "none"):
            (apt / part).mkdir(parents=True)
        (apt / "state" / "status").touch()
        (apt / "sources.list").write_text(f"deb [arch={architecture}] {mirror} {suite} main\n")
        (apt / "apt.conf").write_text(_APT.format(folder=apt, architecture=architecture))
        settings = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
        _run("apt-get", "--quiet", "update", environment=settings)
        _run("apt-get", "--quiet", "--yes", "--download-only", "install", *packages, environment=settings)
        at.mkdir()
        for package in sorted((apt / "cache" / "archives").glob("*.deb")):
            _run("dpkg-deb", "-x", str(package), str(at))


def _mirror() -> str:
    """Where this Debian takes its packages from."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    listed = _run(
        "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"
    )
    found = [line.split()[2] for line in listed.splitlines() if line.startswith(f"{codename} main ")]
    if platform.freedesktop_os_release().get("ID") != "debian" or not found:
        raise SecateurError(
            "Arm packages come from the mirror of the Debian that this runs on",
            f"this is {platform.freedesktop_os_release().get('PRETTY_NAME')}, with {len(found)} mirrors of its own",
            "Run it on Debian, or in a container of it.",
        )
    return found[0]


def _require(program: str) -> None:
    if shutil.which(program) is None:
        raise SecateurError(
            "an Arm userland is fetched by Debian's own tools",
            f"there is no {program}",
            f"Run it on Debian, or in a container of it; an {EMULATOR} of version {LEAST_VERSION} here would be used.",
        )


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise SecateurError(
            "the tools that fetch packages work",
            f"{' '.join(command[:4])} …: exit {done.returncode}; {said[-1] if said else 'it said nothing'}",
            "See to the network and the package mirrors of this computer.",
        )
    return done.stdout
