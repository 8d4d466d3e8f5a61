"""Cycles fitted to a board behind a serial port, which its own tool flashes."""

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.device.serial import Observed
from secateur.latency import serial
from secateur.latency.serial import serial_toml
from secateur.target.target import load_any

FLASH_TOOL = """
import os, signal, subprocess, sys, time
image, folder = sys.argv[1:]
try:
    os.kill(int(open(folder + "/pid").read()), signal.SIGKILL)
except (OSError, ValueError):
    pass
log = open(folder + "/log", "w+")
command = "qemu-system-arm -M netduinoplus2 -display none -monitor none -serial null -serial pty".split()
process = subprocess.Popen(
    [*command, "-icount", "shift=7,align=off,sleep=off", "-kernel", image],
    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
)
open(folder + "/pid", "w").write(str(process.pid))
for _ in range(200):
    said = open(folder + "/log").read()
    if "/dev/pts/" in said:
        break
    time.sleep(0.05)
port = next(word for word in said.split() if word.startswith("/dev/pts/"))
if os.path.islink(folder + "/port"):
    os.remove(folder + "/port")
os.symlink(port, folder + "/port")
"""
"""Kills the emulated board, if one runs, and boots another with the image: what flashing does to a real one."""


@pytest.fixture
def board(tmp_path):
    (tmp_path / "flash.py").write_text(FLASH_TOOL)
    yield tmp_path
    with suppress(OSError, ValueError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")
@pytest.mark.slow
def test_a_chip_that_takes_as_long_for_every_instruction(board, secateur, tmp_path):
    """QEMU's STM32F405: 128 ns an instruction at 168 MHz, and so 21.5 ticks of its counter."""
    path = tmp_path / "mine.toml"
    flash = f"{sys.executable} {board}/flash.py {{image}} {board}"
    arguments = ("--device", f"serial:{board}/port", "--flash", flash, "-o", path, "--json")
    code, out, err = secateur("calibrate", "stm32f405", *arguments)
    assert code == 0, err
    found = json.loads(out)
    assert found["errors"]["cycles"]["after"]["largest"] < 0.1
    for rate in found["cycles"]["fitted"].values():
        assert rate == pytest.approx(168e6 * 128e-9, rel=0.2)
    mine, shipped = load_any(path), load_any("stm32f405")
    assert "on a board at 16 MHz" in mine.latency.source
    assert mine.latency.families.keys() == shipped.latency.families.keys()
    for family, rate in found["cycles"]["fitted"].items():
        if family:
            assert mine.latency.families[family].low == pytest.approx(rate * found["cycles"]["low"], rel=1e-2)
            assert mine.latency.families[family].high >= shipped.latency.families[family].high
    assert mine.kernels == shipped.kernels


class Played:
    """A board on which every family takes its own number of cycles for an instruction."""

    def __init__(self, network, model):
        self.network = network

    def observe(self):
        return Observed((0.01,), (self.ticks,), "cycles", 16_000_000)

    def close(self):
        pass


def played(monkeypatch, rates):
    """Instead of hardware."""
    target = load_any("stm32f446re")

    def opened(network, model, port):
        device = Played(network, model)
        program = serial.lower(network, target.choice)
        counts = serial.instructions_by_kernel(program, target)
        by_family = serial._by_family(counts)
        device.ticks = round(sum(rates[family] * count for family, count in by_family.items()))
        return device

    monkeypatch.setattr(serial, "open_serial", opened)
    monkeypatch.setattr(serial, "build_firmware", lambda *_: Path("firmware.elf"))
    return target


@given(st.lists(st.floats(0.5, 3.0), min_size=3, max_size=3))
@settings(deadline=None, max_examples=5)
def test_each_family_has_its_own_cycles(rates):
    wanted = dict(zip(("fully_connected", "convolution", "depthwise"), rates)) | {"": sum(rates) / 3}
    with pytest.MonkeyPatch.context() as monkeypatch:
        target = played(monkeypatch, wanted)
        found, before, after = serial.calibrate_serial(target, "port", "true {image}", lambda *_: None)
    assert after.largest < 0.25
    assert after.median <= max(before.median, 0.05)
    for family, rate in found.fitted.items():
        if family:
            assert rate == pytest.approx(wanted[family], rel=0.5)
    assert "nan" not in serial_toml(target, "stm32f446re", found, after, "a test")


def test_a_board_that_counts_instructions_is_not_fitted(secateur, tmp_path):
    arguments = ("--device", "serial:port", "--flash", "true {image}", "-o", tmp_path / "mine.toml")
    code, _, err = secateur("calibrate", "mps3-an547", *arguments)
    assert code != 0
    assert "counts instructions" in err


def test_a_board_at_its_own_clock_is_believed(monkeypatch):
    rates = {"": 0.6, "fully_connected": 0.5, "convolution": 0.5, "depthwise": 0.5}
    target = played(monkeypatch, rates).model_copy(update={"clock_hz": 16e6})
    found, _, after = serial.calibrate_serial(target, "port", "true {image}", lambda *_: None)
    at_full_speed = serial_toml(target, "stm32f446re", found, after, "a test")
    slower = serial_toml(load_any("stm32f446re"), "stm32f446re", found, after, "a test")
    family = target.latency.families["convolution"]
    assert f"high = {family.high:.4g}" in slower
    assert f"high = {family.high:.4g}" not in at_full_speed


def test_what_a_tool_leaves_running_is_not_waited_for(tmp_path):
    began = time.monotonic()
    serial._flashed(["sh", "-c", f"sleep 20 & echo $! > {tmp_path}/pid"])
    assert time.monotonic() - began < 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
