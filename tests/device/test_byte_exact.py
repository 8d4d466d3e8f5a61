"""TFLM = portable C on the host under sanitizers = generated C on the emulated Cortex-M4, byte for byte."""

import os
import subprocess

import layers as drawn
import numpy as np
import pytest
from batches import Batch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference_runtime import run_reference
from tflite_networks import Layer, network

from secateur.device.emulator import Emulator
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import build, build_host
from secateur.operators.lower import lower
from secateur.target.cost import price
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"
BATCHED = settings(
    deadline=None,
    phases=(
        Phase.explicit,
        Phase.generate,
    ),  # a failing batch says which network failed; shrinking takes minutes
    suppress_health_check=(
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ),
)


def batches(size):
    """Random networks, ``size`` to a compiler run."""
    one = st.tuples(drawn.columns, drawn.layers, drawn.seeds, drawn.zero_points)
    return st.lists(one, min_size=size, max_size=size)


def calls(columns, seed, count=64):
    inputs = np.random.default_rng(seed).integers(-128, 128, (count, columns), dtype=np.int8)
    inputs[0], inputs[1] = -128, 127
    return inputs


def check(model, columns, seed, folder):
    read = read_tflite(model)
    inputs = calls(columns, seed)
    expected = run_reference(model, inputs)

    files = generate(read, TARGET, "net")
    assert files == generate(read_tflite(model), TARGET, "net")
    emulator = Emulator(read, build(files, TARGET, "net", folder), TARGET, "net")
    np.testing.assert_array_equal(emulator.run({"observation": inputs})["action"], expected)

    host = build_host(files, read, "net", folder, sanitize=True)
    done = subprocess.run([host], input=inputs.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.int8).reshape(expected.shape), expected)

    predicted, measured = price(lower(read), TARGET), emulator.measure()
    assert predicted.weights_bytes == measured.weights_bytes
    assert predicted.tables_bytes == measured.tables_bytes
    assert predicted.static_ram_bytes == measured.static_ram_bytes
    assert 0 <= predicted.code_bytes - measured.code_bytes <= 512
    assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512
    if measured.instructions >= 500:
        assert abs(predicted.instructions / measured.instructions - 1) <= 0.03
    assert set(measured.operator_instructions) == {step.label for step in emulator.program.steps}
    assert sum(measured.operator_instructions.values()) <= measured.instructions


def check_batch(networks, folder):
    models = [network(columns, layers, seed, zero_point=point) for columns, layers, seed, point in networks]
    batch = Batch(models, TARGET, folder)
    for index, (columns, _, seed, _) in enumerate(networks):
        device, inputs = batch.emulator(index), calls(columns, seed)
        expected, what = run_reference(models[index], inputs), networks[index]
        np.testing.assert_array_equal(device.run({"observation": inputs})["action"], expected, str(what))
        np.testing.assert_array_equal(batch.run_host(index, inputs), expected, str(what))
        predicted, measured = price(lower(batch.networks[index]), TARGET), device.measure()
        sizes = batch.sizes(index)
        assert predicted.weights_bytes == sizes.weights_bytes, what
        assert predicted.tables_bytes == sizes.tables_bytes, what
        assert predicted.static_ram_bytes == sizes.static_ram_bytes, what
        assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512, what
        if measured.instructions >= 500:
            assert abs(predicted.instructions / measured.instructions - 1) <= 0.03, what
        assert set(measured.operator_instructions) == {step.label for step in device.program.steps}


@given(batches(12))
@settings(BATCHED, max_examples=2)
def test_random_networks(tmp_path, networks):
    check_batch(networks, tmp_path)


@pytest.mark.slow
@given(batches(25))
@settings(BATCHED, max_examples=12 if EXHAUSTIVE else 3)
def test_many_random_networks(tmp_path, networks):
    check_batch(networks, tmp_path)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8])
def test_every_rest_of_rows_and_columns(tmp_path, rows):
    layers = [Layer(rows + rest, activation=1, zero_point=-128) for rest in range(4)]
    check(network(5, layers, rows), 5, rows, tmp_path)


def test_a_policy(tmp_path):
    layers = [
        Layer(37, activation=1, zero_point=-128),
        Layer(18, bias=False, zero_point=-27),
        Layer(61, activation=1, zero_point=-128),
        Layer(50, activation=1, zero_point=-128),
        Layer(1, per_channel=False, zero_point=11, tail=("TANH",)),
    ]
    check(network(5, layers, 0), 5, 0, tmp_path)


def test_portable_kernels_on_a_core_without_dsp(tmp_path):
    model = network(7, [Layer(9, activation=1, zero_point=-3), Layer(6, tail=("TANH",))], 2)
    toolchain = TARGET.toolchain.model_copy(update={"cpu": "cortex_m3", "triple": "thumb-freestanding-eabi"})
    plain = TARGET.model_copy(update={"core": "cortex-m3", "toolchain": toolchain})
    read, inputs = read_tflite(model), calls(7, 2)
    image = build(generate(read, plain, "net"), plain, "net", tmp_path)
    outputs = Emulator(read, image, plain, "net").run({"observation": inputs})["action"]
    np.testing.assert_array_equal(outputs, run_reference(model, inputs))


def test_clamps_that_int8_does_not_imply(tmp_path):
    layers = [
        Layer(9, activation=1, zero_point=-3),
        Layer(6, activation=3, zero_point=-128, multiplier=0.0001),
        Layer(5, activation=2),
    ]
    check(network(7, layers, 1), 7, 1, tmp_path)
