"""A built wheel works outside the checkout and carries targets and policies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel alone in a folder of its own; what it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)], check=True
    )
    (wheel,) = folder.glob("secateur-*.whl")
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
