"""Every kind of device, through the one protocol."""

import shutil
import time

import numpy as np
import pytest
from reference_runtime import run_reference
from tflite_networks import Layer, Writer, network

from secateur.device import qemu
from secateur.device.devices import DEVICES, open_device
from secateur.device.emulator import Emulator
from secateur.device.host import Host
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import build, build_host
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
MODEL = network(5, [Layer(37, activation=1, zero_point=-128), Layer(2, tail=("TANH",))], 0)


SLOW = {"qemu": pytest.mark.slow}


@pytest.fixture(params=[pytest.param(kind, marks=SLOW.get(kind, ())) for kind in DEVICES])
def device(request, tmp_path):
    if request.param == "qemu" and shutil.which(qemu.PROGRAM) is None:
        pytest.skip(f"{qemu.PROGRAM} is not installed")
    opened = open_device(request.param, MODEL, TARGET, tmp_path)
    yield opened
    opened.close()


def test_protocol(device):
    assert device.name
    inputs = np.random.default_rng(0).integers(-128, 128, (9, 5), dtype=np.int8)
    outputs = device.run({"observation": inputs})["action"]
    assert (outputs.shape, outputs.dtype) == ((9, 2), np.int8)
    alone = np.concatenate([device.run({"observation": row[None]})["action"] for row in inputs])
    np.testing.assert_array_equal(outputs, alone)
    assert device.run({"observation": inputs[:0]})["action"].shape == (0, 2)
    measured = device.measure()
    assert (measured.static_ram_bytes or measured.weights_bytes) > 0


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, "Inputs: observation"),
        ({"observation": np.zeros((2, 5), np.float32)}, "got float32"),
        ({"observation": np.zeros((2, 4), np.int8)}, "[2, 4]"),
        ({"observation": np.zeros(5, np.int8)}, "[5]"),
        ({"observation": np.zeros((), np.int8)}, "[]"),
        ({"observation": np.zeros((2, 5), np.int8), "more": np.zeros((2, 5), np.int8)}, "more"),
    ],
)
def test_wrong_inputs(device, inputs, expected):
    with pytest.raises(SecateurError) as caught:
        device.run(inputs)
    assert expected in str(caught.value)


def test_unknown_kind(tmp_path):
    with pytest.raises(SecateurError, match="emulator, host, qemu, tflm"):
        open_device("fpga", MODEL, TARGET, tmp_path)


def test_tflm_refuses_in_one_error_what_it_cannot_run(tmp_path):
    writer = Writer()
    source, result = writer.tensor("in", (1, 4), "float32"), writer.tensor("out", (1, 4), "float32")
    writer.operator("GELU", [source], [result])
    with pytest.raises(SecateurError, match="TFLM runs"):
        open_device("tflm", writer.finish([source], [result]), TARGET, tmp_path)


def emulator(tmp_path, change=lambda files: None):
    read = read_tflite(MODEL)
    files = generate(read, TARGET, "net")
    change(files)
    return Emulator(read, build(files, TARGET, "net", tmp_path), TARGET, "net")


def test_a_fault_is_an_error_that_says_where(tmp_path):
    def read_beyond_memory(files):
        files["net.c"] = files["net.c"].replace(
            "arena;\n", "arena;\n    arena[*(volatile int32_t *)0x60000000] = 1;\n"
        )

    with pytest.raises(SecateurError, match="at 0x08"):
        emulator(tmp_path, read_beyond_memory).run({"observation": np.zeros((1, 5), np.int8)})


def test_stack_is_the_deepest_of_all_calls(tmp_path):
    def deepen(files):
        loop = "for (int i = 0; i < 500; i++) {\n        deep[i] = arena[0];\n    }\n"
        change = f"arena;\n    volatile int8_t deep[500];\n    {loop}"
        files["net.c"] = files["net.c"].replace("arena;\n", change)

    plain, deep = emulator(tmp_path / "plain"), emulator(tmp_path / "deep", deepen)
    difference = deep.measure().stack_bytes - plain.measure().stack_bytes
    assert 490 <= difference <= 540


def test_counts_are_whole_and_repeatable(tmp_path):
    device = emulator(tmp_path)
    first = device.measure()
    device.run({"observation": np.full((3, 5), 77, np.int8)})
    second = device.measure()
    assert first == second
    assert list(first.operator_instructions) == ["fc0", "fc1", "fc1/tanh"]
    assert 0 <= first.instructions - sum(first.operator_instructions.values()) <= 16
    parts = first.operator_instructions
    outside = first.instructions - sum(parts.values())
    counts = {
        "fully_connected": parts["fc0"] + parts["fc1"],
        "lookup": parts["fc1/tanh"],
        "": outside,
    }
    assert first.latency_s.low == pytest.approx(TARGET.latency_s(counts).low)


def test_a_call_is_quick(tmp_path):
    device = emulator(tmp_path)
    row = {"observation": np.zeros((1, 5), np.int8)}
    device.run(row)
    spans = []
    for _ in range(200):
        start = time.perf_counter()
        device.run(row)
        spans.append(time.perf_counter() - start)
    assert min(spans) < 150e-6


def host(tmp_path, change=lambda files: None, model=MODEL):
    read = read_tflite(model)
    files = generate(read, TARGET, "net")
    change(files)
    return Host(read, build_host(files, read, "net", tmp_path))


@pytest.mark.parametrize(("columns", "count"), [(5, 3), (5, 20_000), (3000, 40), (40_000, 3)])
def test_the_host_answers_as_tflm_does(tmp_path, columns, count):
    """Calls of all sizes, below and above what a pipe holds."""
    model = network(columns, [Layer(7, activation=1, zero_point=-128), Layer(2, tail=("TANH",))], 1)
    device = host(tmp_path, model=model)
    inputs = random_inputs(device.network, count, np.random.default_rng(2))
    outputs = device.run(inputs)["action"]
    compared = slice(0, 500)
    expected = run_reference(model, inputs["observation"][compared])
    np.testing.assert_array_equal(outputs[compared], expected)
    device.close()


def test_a_fault_on_the_host_is_an_error(tmp_path):
    def stop(files):
        files["net.c"] = files["net.c"].replace(
            "arena;\n", "arena;\n    if (arena[0] == 7) {\n        __builtin_trap();\n    }\n"
        )

    device = host(tmp_path, stop)
    device.run({"observation": np.full((3, 5), 6, np.int8)})
    with pytest.raises(SecateurError, match="ended with code"):
        device.run({"observation": np.full((3, 5), 7, np.int8)})
    device.close()


def test_the_host_does_not_speak_for_the_board(tmp_path):
    measured = host(tmp_path).measure()
    assert measured.instructions is None
    assert 0 < measured.latency_s.low <= measured.latency_s.high
    assert "not on the board" in measured.latency_source
