"""Complete firmware on every board that QEMU emulates, behind its own UART."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reference_runtime import run_reference
from single_layers import Net
from tflite_networks import Layer, network

from secateur.device import qemu
from secateur.device.devices import open_device
from secateur.device.line import Line
from secateur.device.protocol import random_inputs
from secateur.device.qemu import Machine
from secateur.device.serial import Serial
from secateur.errors import SecateurError
from secateur.export.firmware import image
from secateur.export.firmware.boards import EMULATED, FLASHED, emulated_board
from secateur.export.firmware.image import build_firmware
from secateur.export.read import read_tflite
from secateur.target.target import Toolchain, load_target

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "bench"))

from noisy_line import Noise, NoisyLine, open_board

SMALL = network(5, [Layer(37, activation=1, zero_point=-128), Layer(20), Layer(2, tail=("TANH",))], 0)
BOARDS = {
    "cortex-m0plus": "rp2040",
    "cortex-m4": "stm32f446re",
    "cortex-m7": "stm32h743",
    "cortex-m33": "nrf5340",
    "cortex-m55": "mps3-an547",
    "cortex-m85": "ek-ra8d1",
}
needs_qemu = pytest.mark.skipif(shutil.which(qemu.PROGRAM) is None, reason=f"{qemu.PROGRAM} is not installed")


@pytest.fixture
def machines():
    """What is given to it is switched off at the end, whatever happens."""
    running = []

    def until_the_end(device):
        running.append(device)
        return device

    yield until_the_end
    for device in running:
        device.stop() if isinstance(device, Machine) else device.close()


def target_of(core):
    """A target with a core; where none has it, one that differs in its core only."""
    if core in BOARDS:
        return load_target(BOARDS[core])
    toolchains = {"cortex-m3": Toolchain(triple="thumb-freestanding-eabi", cpu="cortex_m3", flags=("-Os",))}
    return load_target("nrf5340").model_copy(update={"core": core, "toolchain": toolchains[core]})


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize("core", EMULATED)
def test_firmware_answers_as_tflm_on_every_core(core, tmp_path, machines):
    target = target_of(core)
    device = machines(open_device("qemu", SMALL, target, tmp_path / "qemu"))
    inputs = random_inputs(device.network, 40, np.random.default_rng(0))
    np.testing.assert_array_equal(device.run(inputs)["action"], run_reference(SMALL, inputs["observation"]))
    measured = device.measure()
    assert target.core in measured.device
    assert measured.cycles is None
    assert "counted instructions" in measured.latency_source
    if core in BOARDS:  # which an emulator runs too
        emulator = open_device("emulator", SMALL, target, tmp_path / "emulator")
        emulated = emulator.measure()
        emulator.close()
        # Unicorn leaves out instructions whose condition fails; the portable kernels have none.
        allowed = 0 if core in ("cortex-m0plus", "cortex-m55", "cortex-m85") else emulated.instructions // 100
        assert 0 <= measured.instructions - emulated.instructions <= allowed
        for same in ("weights_bytes", "tables_bytes", "code_bytes", "static_ram_bytes"):
            assert getattr(measured, same) == getattr(emulated, same), same


@needs_qemu
@pytest.mark.slow
def test_instructions_are_exact_when_the_counter_wraps(tmp_path, machines):
    """SysTick has 24 bits: 5.2 million instructions on this board."""
    net = Net(np.random.default_rng(2), (1, 13, 13, 24))
    net.conv(24, (3, 3))
    model, target = net.finish(), load_target("rp2040")
    emulator = open_device("emulator", model, target, tmp_path / "emulator")
    expected = emulator.measure().instructions
    emulator.close()
    device = machines(open_device("qemu", model, target, tmp_path / "qemu"))
    assert expected > 5_242_880
    assert device.measure().instructions == expected


@needs_qemu
@pytest.mark.slow
def test_noise_and_a_reset_on_the_emulated_uart(tmp_path, machines):
    """A shorter bench/serial.py."""
    target, network_ = load_target("stm32f446re"), read_tflite(SMALL)
    board = emulated_board(target)
    machine = machines(Machine(board, build_firmware(network_, SMALL, target, board, "network", tmp_path)))
    inside = open_board(machine.port)
    line = NoisyLine(Noise(0.002, 0.002, 0.002), 0, inside)
    device = Serial(network_, SMALL, Line(line.port, 115200))
    for part in range(2):
        inputs = random_inputs(network_, 300, np.random.default_rng(part))
        answers = device.run(inputs)["action"]
        np.testing.assert_array_equal(answers, run_reference(SMALL, inputs["observation"]))
        if part == 0:
            line.noise = Noise()
            assert device.board_counters()["steps"] == 300
            line.noise = Noise(0.002, 0.002, 0.002)
            machine.reset()
    line.noise = Noise()
    assert device.board_counters()["steps"] == 300
    assert device.statistics.sessions == 2
    assert device.statistics.damaged_frames > 0
    device.close()
    line.close()
    os.close(inside)


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize("name", FLASHED)
def test_drivers_of_real_boards_on_an_emulated_chip_of_their_family(name, tmp_path, machines):
    target, network_ = load_target(name), read_tflite(SMALL)
    board = FLASHED[name]
    built = build_firmware(network_, SMALL, target, board, "network", tmp_path)
    machine = Machine(replace(board, name="netduinoplus2"), built, uart=1)  # an STM32F405
    machines(machine)
    device = Serial(network_, SMALL, Line(machine.port, 115200))
    inputs = random_inputs(network_, 40, np.random.default_rng(0))
    np.testing.assert_array_equal(device.run(inputs)["action"], run_reference(SMALL, inputs["observation"]))
    measured = device.measure()
    assert measured.cycles > 0
    assert measured.latency_s.high == measured.cycles / 16e6
    assert measured.latency_source == "measured on the board: cycles at 16 MHz"
    device.close()


@pytest.fixture
def stepping(monkeypatch, tmp_path, machines):
    """Firmware whose step does something else, on a Cortex-M4: the C of its body → device."""
    sources = image.firmware_sources

    def opened(attributes, body):
        def changed(*arguments):
            files = sources(*arguments)
            step = f"static {attributes} void step(void)\n{{\n    {body}\n}}\n\n"
            whole = "void (*const model_step)(void) = network_step;"
            assert whole in files["model.c"]
            files["model.c"] = files["model.c"].replace(whole, step + whole.replace("network_step", "step"))
            return files

        monkeypatch.setattr(image, "firmware_sources", changed)
        return machines(open_device("qemu", SMALL, load_target("stm32f446re"), tmp_path))

    return opened


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "instructions"),
    [
        ("bx lr", 1),
        ("nop; nop; bx lr", 3),
        ("movs r0, #100; 1: subs r0, #1; bne 1b; bx lr", 1 + 2 * 100 + 1),
        ("cmp r0, r0; ite eq; moveq r1, #1; movne r1, #2; bx lr", 5),  # a condition that fails is one too
        ("ldr r0, =4000000; 1: subs r0, #1; bne 1b; bx lr; .ltorg", 2 + 2 * 4_000_000),
    ],
)
def test_known_instructions_are_counted_exactly(stepping, body, instructions):
    device = stepping("__attribute__((naked))", f'__asm__("{body}");')
    assert device.measure().instructions == instructions


@needs_qemu
@pytest.mark.slow
def test_a_fault_on_the_board_is_an_error_on_the_host(stepping):
    """It resets the board; a board that is reset again and again is given up."""
    device = stepping("", "*(volatile uint32_t *)0xfffffff0u = 1;")
    with pytest.raises(SecateurError, match="reset 5 times"):
        device.run({"observation": np.zeros((1, 5), np.int8)})


def test_without_qemu_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SecateurError, match="apt install qemu-system-arm"):
        Machine(EMULATED["cortex-m4"], tmp_path / "none.elf")


@needs_qemu
def test_an_image_that_is_none(tmp_path):
    with pytest.raises(SecateurError, match=r"none\.elf"):
        Machine(EMULATED["cortex-m4"], tmp_path / "none.elf")


def test_a_core_that_qemu_has_no_board_for():
    target = load_target("stm32f446re").model_copy(update={"core": "cortex-m23"})
    with pytest.raises(SecateurError, match="QEMU has boards with"):
        emulated_board(target)


@pytest.mark.slow
def test_the_firmware_of_every_core_is_built_without_a_warning(tmp_path):
    """With QEMU or without."""
    for core in EMULATED:
        target = target_of(core)
        image = build_firmware(read_tflite(SMALL), SMALL, target, EMULATED[core], "network", tmp_path / core)
        assert image.stat().st_size > 1000
