"""Every shipped board loads; what is wrong in a file is one error that says so."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from reference_runtime import run_reference
from tflite_networks import Layer, network

from secateur.device import qemu
from secateur.device.devices import open_device
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.read import read_tflite
from secateur.operators.kernels import KERNELS
from secateur.operators.lower import lower
from secateur.records import Range
from secateur.target.cost import price
from secateur.target.target import FAMILIES, list_targets, load_any, load_target

MICROCONTROLLERS = [name for name in list_targets() if load_any(name).runtime == "c"]

MINIMAL = """
inherit = "cortex-m4"
description = "a board"
source = "nobody"
clock_hz = 100e6
flash_bytes = 65536
flash_origin = 0
ram_bytes = 8192
ram_origin = 0x20000000
network_share = 0.5
"""


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_shipped_boards(name):
    target = load_target(name)
    assert target.name == name
    assert {"fully_connected", "lookup", "clamp"} <= set(target.kernels) <= set(KERNELS)
    assert 0 < target.network_flash_bytes <= target.flash_bytes
    assert 0 < target.network_ram_bytes <= target.ram_bytes
    assert target.latency.source
    assert target.latency.validity
    divides = target.core != "cortex-m0plus"  # a division by software takes as long as its numbers ask for
    assert target.fit.max_error <= (0.03 if divides else 0.06)


MODEL = network(
    9,
    [
        Layer(21, activation=1, zero_point=-128),
        Layer(10, activation=1, zero_point=-3),
        Layer(3, tail=("TANH",)),
    ],
    4,
)


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_every_board_answers_as_tflm_does(name, tmp_path):
    """Built for its core, linked at its addresses, run on its emulator; and priced as it turned out."""
    target, read = load_target(name), read_tflite(MODEL)
    if target.emulator == "qemu" and shutil.which(qemu.PROGRAM) is None:
        pytest.skip(f"{qemu.PROGRAM} is not installed")
    inputs = random_inputs(read, 32, np.random.default_rng(0))
    device = open_device("emulator", MODEL, target, tmp_path)
    np.testing.assert_array_equal(device.run(inputs)["action"], run_reference(MODEL, inputs["observation"]))
    predicted, measured = price(lower(read, target.choice), target), device.measure()
    device.close()
    assert predicted.weights_bytes == measured.weights_bytes
    assert predicted.tables_bytes == measured.tables_bytes
    assert predicted.static_ram_bytes == measured.static_ram_bytes
    assert 0 <= predicted.code_bytes - measured.code_bytes <= 512
    assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512
    assert abs(predicted.instructions / measured.instructions - 1) <= 0.03
    kernels = {step.label: step.kernel for step in lower(read, target.choice).steps}
    counts = {"": measured.instructions - sum(measured.operator_instructions.values())}
    for label, count in measured.operator_instructions.items():
        counts[kernels[label]] = counts.get(kernels[label], 0) + count
    wanted, found = target.latency_s(counts), measured.latency_s
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_figures_for_helium_are_those_of_the_bench():
    """docs/targets.md; and no layer of those that fill vectors takes more than 0.3 instructions for a product."""
    root = Path(__file__).parent.parent.parent
    text = (root / "docs" / "targets.md").read_text(encoding="utf-8").split("## Cortex-M55")[1]
    results = json.loads((root / "bench" / "results" / "kernels_cortex-m55.json").read_text(encoding="utf-8"))
    for name, case in results["cases"].items():
        own = case["secateur"]["instructions"]
        ratios = [own / case[other]["instructions"] for other in ("cmsis_nn", "cmsis_nn_dsp", "plain_c")]
        products = f"{own / case['macs']:.3f}" if case["macs"] else "–"
        cells = [products, *(f"{ratio:.2f}" for ratio in ratios)]
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert line.split(" | ")[1:] == [*cells[:-1], f"{cells[-1]} |"], name
        if name.startswith(("fully", "conv")):
            assert own <= 0.3 * case["macs"], name
        layers = [layer for layer in case["layers"] if layer["macs"] or layer["kernel"].endswith("_pool")]
        assert all(layer["secateur"] <= 0.89 * layer["cmsis_nn"] for layer in layers), name


def test_figures_of_the_f446():
    target = load_target("stm32f446re")
    assert (target.core, target.clock_hz, target.flash_bytes, target.ram_bytes) == (
        "cortex-m4",
        180e6,
        512 * 1024,
        128 * 1024,
    )
    assert target.latency_s({"add": 180e6}) == Range(1.22, 1.87)
    assert target.latency_s({"conv": 180e6, "conv_wide": 180e6}) == Range(2 * 1.79, 2 * 2.23)


def write(tmp_path, text):
    path = tmp_path / "board.toml"
    path.write_text(text)
    return path


def refusal(name):
    with pytest.raises(SecateurError) as caught:
        load_target(name)
    return str(caught.value)


def test_own_board_inherits(tmp_path):
    target = load_target(write(tmp_path, MINIMAL))
    assert target.name == "board"
    assert target.kernels == load_target("stm32f446re").kernels
    assert load_target(str(tmp_path / "board.toml")) == target


def test_one_key_of_a_table_can_be_overridden(tmp_path):
    target = load_target(write(tmp_path, MINIMAL + "[latency]\ncycles_per_instruction_low = 1.6\n"))
    assert target.latency.cycles_per_instruction_low == 1.6
    assert target.latency.cycles_per_instruction_high == 1.87


def test_families_are_those_of_kernels(tmp_path):
    families = "[latency.families]\nconvolution = { low = 1.0 }\n"
    board = load_target(write(tmp_path, MINIMAL + families)).latency
    assert board.cycles_per_instruction("conv") == (1.0, 2.23)
    assert board.cycles_per_instruction("conv_wide") == (1.0, 2.23)
    assert board.cycles_per_instruction("add") == (1.22, 1.87)
    assert load_target("rp2040").latency.cycles_per_instruction("conv") == (1.36, 2.03)
    misspelt = "[latency.families]\nconvolutions = { low = 1.0, high = 2.0 }\n"
    assert "'convolutions' is none of" in refusal(write(tmp_path, MINIMAL + misspelt))
    assert set(FAMILIES) <= set(KERNELS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("flash_bytes =", "flash_size ="), ("flash_size", "Did you mean flash_bytes?")),
        (("clock_hz =", "clokc_hz ="), ("clokc_hz", "Did you mean clock_hz?")),
        (
            ("network_share = 0.5", "network_share = 0.5\n[latency]\ncycles_per_instruction = 1.0"),
            ("latency.cycles_per_instruction", "Did you mean cycles_per_instruction_"),
        ),
        (
            (
                "network_share = 0.5",
                "network_share = 0.5\n[kernels.fully_connected.instructions]\nblok = 1.0",
            ),
            ("fully_connected", "blok"),
        ),
        (
            ("network_share = 0.5", "network_share = 0.5\n[kernels.convolve]\ncode_bytes = 1"),
            ("kernels.convolve",),
        ),
        (("network_share = 0.5", "network_share = 1.5"), ("network_share",)),
        (("ram_bytes = 8192", 'ram_bytes = "8KiB"'), ("ram_bytes",)),
        (("ram_bytes = 8192", ""), ("ram_bytes", "required")),
        (("cortex-m4", "cortex-m9"), ("cortex-m9",)),
        (("cortex-m4", "board"), ("board",)),
        (("clock_hz = 100e6", "clock_hz = "), ("board.toml",)),
        (
            ("network_share = 0.5", "network_share = 0.5\n[latency]\ncycles_per_instruction_low = 9.0"),
            ("above",),
        ),
    ],
)
def test_mistakes_are_named(tmp_path, change, expected):
    message = refusal(write(tmp_path, MINIMAL.replace(*change)))
    assert all(part in message for part in expected), message


def test_unknown_board_lists_boards():
    assert "Did you mean stm32f446re?" in refusal("stm32f446")
    assert all(name in refusal("nothing like it") for name in list_targets())


def test_missing_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.toml")


def test_a_core_is_not_a_board():
    assert "cortex-m4.toml is a core" in refusal("cortex-m4")
