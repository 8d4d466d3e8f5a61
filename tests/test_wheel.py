"""A wheel that was built from the sdist works outside the checkout and carries targets and policies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.version import version

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel alone in a folder of its own; what it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)  # the sdist, and the wheel from the sdist
    (wheel,) = folder.glob("secateur-*.whl")
    (_,) = folder.glob("secateur-*.tar.gz")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder


def _run(installed, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_it_is_the_wheel_that_runs(installed):
    assert str(installed) in _run(installed, "-c", "import secateur; print(secateur.__file__)")


def test_its_version_is_that_of_the_checkout(installed):
    wanted = version(ROOT)
    assert _run(installed, "-m", "secateur.cli", "--version").split() == ["secateur", wanted]
    assert [path.name for path in installed.glob("secateur-*.tar.gz")] == [f"secateur-{wanted}.tar.gz"]


def _other_python():
    """A Python 3.12 that runs, or None."""
    found = [shutil.which("python3.12"), *Path.home().glob(".pyenv/versions/3.12.*/bin/python3.12")]
    for one in filter(None, found):
        if subprocess.run([one, "--version"], capture_output=True, check=False).returncode == 0:
            return str(one)
    return None


def test_python_3_12_reads_all_of_it(installed):
    """Compiled with warnings as errors, and what needs no package imported: its packages may not be there."""
    if (other := _other_python()) is None:
        pytest.skip("there is no Python 3.12")
    check = [other, "-W", "error", "-m", "compileall", "-q", "-f", str(installed / "site" / "secateur")]
    subprocess.run(check, check=True, env={**os.environ, "PYTHONPYCACHEPREFIX": str(installed / "cache")})
    code = "import secateur.budget, secateur.runfolder, secateur.shared, secateur.version; print(secateur.__version__)"
    done = subprocess.run(
        [other, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == version(ROOT)


def test_it_carries_targets_and_policies(installed):
    assert "stm32f446re" in _run(installed, "-m", "secateur.cli", "targets")
    assert "tdmpc_cartpole" in _run(installed, "-m", "secateur.cli", "policies")
    assert "dynamics" in _run(installed, "-m", "secateur.cli", "inspect", "tdmpc_cartpole")


def test_it_generates_and_builds_c(installed):
    """Kernel sources and templates are package data, easily forgotten."""
    code = (
        "from secateur.operators.kernels import KERNELS\n"
        "print(all(kernel.source() for kernel in KERNELS.values()))\n"
        "from secateur.report import html\n"
        "from secateur.export.firmware.boards import EMULATED, FLASHED\n"
        "from secateur.export.firmware.image import COMMON, firmware_file\n"
        "drivers = [file for board in (*EMULATED.values(), *FLASHED.values()) for file in board.sources]\n"
        "print(all(firmware_file(file) for file in (*COMMON, *drivers, 'start.c', 'image.ld')))\n"
    )
    assert _run(installed, "-c", code).split() == ["True", "True"]
