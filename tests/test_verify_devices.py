"""``secateur verify`` with a board on a serial line and with a computer behind ssh, delays measured there."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from host_firmware import HostBoard, build
from openssh import Server, needs_sshd
from test_calibrate_serial import FLASH_TOOL

pytestmark = pytest.mark.slow

POLICY = "follow_policy:follow"
QUICK = ("--strategy", "uniform", "--recovery-steps", "64", "--episodes", "4", "--max-return-drop", "10%")
VERIFY = ("--policy", POLICY, "--delay", "measured", "--max-return-drop", "10%", "--episodes", "48", "--json")


def pruned(secateur, folder, target, *options):
    code, _, said = secateur("prune", POLICY, "--target", target, *QUICK, *options, "-o", folder)
    assert code in (0, 4), said
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def for_board(secateur, made):
    run = made / "board"
    return run if run.exists() else pruned(secateur, run, "stm32f446re", "--flash", "12KiB")


@pytest.fixture
def for_computer(secateur, made):
    """A run for a computer of this machine's kind, which is a file of the user's own."""
    target, run = made / "here.toml", made / "computer"
    target.write_text(f'inherit = "linux-aarch64"\narchitecture = "{os.uname().machine}"\n')
    return target, run if run.exists() else pruned(secateur, run, target, "--dtype", "int8")


def test_a_board_on_a_line_that_counts_its_cycles(secateur, for_board, tmp_path):
    program = build((for_board / "model.int8.tflite").read_bytes(), tmp_path, cycles_hz=180_000_000)
    board = HostBoard(program)
    device = f"serial:{board.port}"
    code, out, said = secateur("verify", for_board, "--device", device, *VERIFY, "-o", tmp_path / "v.json")
    assert code in (0, 4), said
    found = json.loads(out)
    delay, test = found["verification"]["test"]["delay"], found["verification"]["test"]
    assert (delay["mode"], delay["jitter"]) == ("measured", True)
    assert "cycles counted on the board" in delay["source"]
    assert delay["mean_s"] < delay["worst_s"] < 2e-3  # the board counts 1 to 64 thousand cycles, by turns
    assert delay["worst_s"] == pytest.approx(64_000 / 180e6)
    assert found["processes"] == 1
    assert found["ran_on"].startswith(device)
    assert test["retained"]["ratio"] > 0.8
    # the same artifact on TFLM, as late: a board answers byte for byte
    code, out, said = secateur(
        *("verify", for_board, "--device", "tflm", "--policy", POLICY, "--delay", f"{delay['worst_s']}s"),
        *("--max-return-drop", "10%", "--episodes", "48", "--json", "-o", tmp_path / "w.json"),
    )
    assert code in (0, 4), said
    other = json.loads(out)["verification"]["test"]
    assert other["artifact"]["returns"] == test["artifact"]["returns"]
    assert board.close() == 0


def test_a_board_without_a_counter_has_no_measured_delay(secateur, for_board, tmp_path):
    board = HostBoard(build((for_board / "model.int8.tflite").read_bytes(), tmp_path))
    code, _, said = secateur("verify", for_board, "--device", f"serial:{board.port}", *VERIFY)
    assert code == 1
    assert "where a device tells how long a call takes" in said
    assert not (for_board / "verify.json").exists()
    assert board.close() == 0


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")
def test_an_emulated_stm32f405_that_was_flashed(secateur, tmp_path):
    """The image that a board gets, and its own counter: QEMU takes 128 ns for an instruction."""
    run = pruned(secateur, tmp_path / "run", "stm32f405", "--flash", "12KiB")
    code, _, said = secateur(
        "export", run, "--target", "stm32f405", "--format", "firmware", "-o", tmp_path / "image"
    )
    assert code == 0, said
    (tmp_path / "flash.py").write_text(FLASH_TOOL)
    subprocess.run([sys.executable, "flash.py", "image/firmware.elf", "."], cwd=tmp_path, check=True)
    try:
        arguments = ("--device", f"serial:{tmp_path / 'port'}", *VERIFY, "-o", tmp_path / "v.json")
        code, out, said = secateur("verify", run, *arguments)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert code in (0, 4), said
    test = json.loads(out)["verification"]["test"]
    assert "cycles counted on the board" in test["delay"]["source"]
    assert 1e-3 < test["delay"]["worst_s"] < 0.02
    assert test["retained"]["ratio"] > 0.9


@needs_sshd
def test_a_computer_behind_ssh(secateur, for_computer, tmp_path, monkeypatch):
    target, run = for_computer
    server = Server(tmp_path / "server")
    monkeypatch.setenv("SECATEUR_SSH", server.command)
    try:
        arguments = ("--target", target, "--device", server.address, *VERIFY)
        code, out, said = secateur("verify", run, *arguments, "-o", tmp_path / "v.json")
        assert code in (0, 4), said
        found = json.loads(out)
        delay = found["verification"]["test"]["delay"]
        assert (delay["mode"], delay["jitter"]) == ("measured", True)
        assert server.address in delay["source"]
        assert 0 < delay["mean_s"] <= delay["worst_s"] < 1
        assert not any("timed on this machine" in warning for warning in found["verdict"]["warnings"])
        assert found["verification"]["test"]["retained"]["ratio"] > 0.8
        assert server.left_behind() == []
        code, _, said = secateur("verify", run, "--device", server.address, *VERIFY)
        assert (code, "--target" in said) == (2, True)  # a target that is a file is named again
    finally:
        server.stop()


def test_this_machine_in_place_of_a_computer(secateur, for_computer, tmp_path):
    target, run = for_computer
    arguments = ("--target", target, "--device", "host", *VERIFY, "-o", tmp_path / "v.json")
    code, out, said = secateur("verify", run, *arguments)
    assert code in (0, 4), said
    assert any("timed on this machine" in warning for warning in json.loads(out)["verdict"]["warnings"])
