"""Int16 and float32: TFLM = portable C under sanitizers = generated C on emulated cores.

Int16 byte for byte; float32 to the tolerance that docs/targets.md states.
"""

import os
import shutil

import numpy as np
import pytest
from batches import Batch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from other_types import FLOAT32, INT16
from reference_runtime import run_reference
from tflite_networks import Writer

from secateur.device import qemu
from secateur.device.host import Host
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import build_host
from secateur.operators.curve.rule import SERIES
from secateur.operators.lower import lower
from secateur.target.cost import price
from secateur.target.target import load_target

CORES = {
    core: load_target(name)
    for core, name in (
        *(("m4", "stm32f446re"), ("m0+", "rp2040"), ("m33", "nrf5340"), ("m7", "stm32h743")),
        ("m55", "mps3-an547"),  # in QEMU
    )
}
VARYING = {"sigmoid_16", "rsqrt_16", "curve_float", "pool_16"}
"""Kernels that take less where values saturate, or by what they are told to do. In software, all of float32 do."""

RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""Of float32: what docs/targets.md states."""

EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"
CALLS = 6
DRAWN = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # a failing batch says which network failed
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.function_scoped_fixture),
)
seeds = st.integers(0, 2**32 - 1)


def drawn(network, seed):
    """Inputs [calls, …] of the network's one input, extremes among them."""
    (tensor,) = network.inputs.values()
    shape, dtype = network.tensors[tensor].shape, np.dtype(network.tensors[tensor].dtype)
    generator = np.random.default_rng(seed)
    if dtype.kind == "f":
        size = 10.0 ** generator.integers(-2, 2, (CALLS, *shape))
        return (size * generator.standard_normal((CALLS, *shape))).astype(dtype)
    limits = np.iinfo(dtype)
    inputs = generator.integers(limits.min, limits.max, (CALLS, *shape), dtype, endpoint=True)
    inputs[0], inputs[1] = limits.min, limits.max
    return inputs


def check(builders, seed, rounds, core, folder):
    """Every kind ``rounds`` times in one image: answers, and what was predicted of them."""
    kinds = [kind for kind in builders for _ in range(rounds)]
    models = [builders[kind](np.random.default_rng((seed, number))) for number, kind in enumerate(kinds)]
    target = CORES[core]
    batch = Batch(models, target, folder)
    for index, (kind, model) in enumerate(zip(kinds, models)):
        network, device = batch.networks[index], batch.emulator(index)
        inputs = drawn(network, seed)
        expected = run_reference(model, inputs)
        ((name, _),) = network.inputs.items()
        given = inputs[:, 0] if inputs.shape[1] == 1 else inputs
        (output,) = device.run({name: given}).values()
        what = f"{kind} {index} of {seed}: {[(step.kernel, step.payload) for step in device.program.steps]}"
        answers = batch.run_host(index, inputs, expected.dtype)
        np.testing.assert_array_equal(output.reshape(CALLS, -1), answers, what)  # of float32 too
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(answers, expected, RELATIVE, ABSOLUTE, err_msg=what)
        else:
            np.testing.assert_array_equal(answers, expected, what)

        predicted, measured, sizes = price(lower(network), target), device.measure(), batch.sizes(index)
        assert predicted.weights_bytes == sizes.weights_bytes, what
        assert predicted.tables_bytes == sizes.tables_bytes, what
        assert predicted.static_ram_bytes == sizes.static_ram_bytes, what
        assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512, what
        if core != "m0+" and not VARYING & {step.kernel for step in device.program.steps}:
            off = abs(predicted.instructions - measured.instructions)
            assert off <= 0.35 * measured.instructions + 250, what


@given(seeds)
@settings(DRAWN, max_examples=1)
@pytest.mark.parametrize("builders", [INT16, FLOAT32], ids=("int16", "float32"))
def test_every_operator(tmp_path, builders, seed):
    check(builders, seed, 2, "m4", tmp_path)


@given(seeds)
@settings(DRAWN, max_examples=1)
@pytest.mark.parametrize("builders", [INT16, FLOAT32], ids=("int16", "float32"))
def test_every_operator_on_the_plainest_core(tmp_path, builders, seed):
    check(builders, seed, 1, "m0+", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(qemu.PROGRAM) is None, reason=f"{qemu.PROGRAM} is not installed")
@pytest.mark.parametrize("builders", [INT16, FLOAT32], ids=("int16", "float32"))
def test_every_operator_on_a_core_with_helium(tmp_path, builders):
    check(builders, 0, 1, "m55", tmp_path)


@pytest.mark.slow
@given(seeds)
@settings(DRAWN, max_examples=12 if EXHAUSTIVE else 1)
@pytest.mark.parametrize("core", [core for core in CORES if core != "m55"])
@pytest.mark.parametrize("builders", [INT16, FLOAT32], ids=("int16", "float32"))
def test_every_operator_many_times(tmp_path, builders, core, seed):
    check(builders, seed, 8, core, tmp_path)


def on_host(model, inputs, folder):
    """What the generated C answers, [calls, …] → [calls, …]."""
    network = read_tflite(model)
    device = Host(network, build_host(generate(network, CORES["m4"], "net"), network, "net", folder))
    (answers,) = device.run({name: inputs for name in network.inputs}).values()
    device.close()
    return answers


@pytest.mark.parametrize(
    ("kind", "scale", "out"),
    [
        *(
            (kind, scale, 2**-15)
            for kind in ("TANH", "LOGISTIC")
            for scale in (1 / 4096, 1 / 2048, 0.0003, 2.0)
        ),
        *(("RSQRT", scale, out) for scale, out in ((0.001, 0.001), (0.0002, 0.005), (3.0, 1e-6))),
        *(
            (kind, scale, out)
            for kind in ("ABS", "RELU", "QUANTIZE")
            for scale, out in ((0.3, 0.2), (0.1, 0.07))
        ),
        ("ABS", 0.3, 0.3),
        ("RELU6", 0.001, 0.002),
    ],
)
def test_curves_of_all_int16(tmp_path, kind, scale, out):
    writer = Writer()
    source = writer.tensor("in", (1, 4096), "int16", [scale], [0])
    result = writer.tensor("out", (1, 4096), "int16", [out], [0])
    writer.operator(kind, [source], [result])
    model = writer.finish([source], [result])
    every = np.arange(-(1 << 15), 1 << 15).astype(np.int16).reshape(16, 4096)
    every = every[8:] if kind == "RSQRT" else every  # of numbers below zero TFLM has none
    np.testing.assert_array_equal(on_host(model, every, tmp_path), run_reference(model, every))


@pytest.mark.parametrize("scale", [1e-4, 2e-5])
def test_softmax_of_all_differences(tmp_path, scale):
    """Of two classes: every entry of both tables."""
    writer = Writer()
    source = writer.tensor("in", (4096, 2), "int16", [scale], [0])
    result = writer.tensor("out", (4096, 2), "int16", [2**-15], [0])
    writer.operator("SOFTMAX", [source], [result], "SoftmaxOptions", beta=1.0)
    model = writer.finish([source], [result])
    below = np.arange(1 << 16).reshape(16, 4096)
    inputs = np.stack([np.full_like(below, (1 << 15) - 1), (1 << 15) - 1 - below], axis=2).astype(np.int16)
    np.testing.assert_array_equal(
        on_host(model, inputs, tmp_path).reshape(16, -1), run_reference(model, inputs)
    )


@pytest.mark.parametrize("kind", SERIES)
def test_series_of_any_float(tmp_path, kind):
    """Angles of many turns, subnormal numbers, infinities and what is no number."""
    writer = Writer()
    source, result = (writer.tensor(name, (1, 4096), "float32") for name in ("in", "out"))
    writer.operator(kind, [source], [result])
    model = writer.finish([source], [result])
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 1 << 32, (8, 4096), np.uint32).view(np.float32)
    inputs[0, :6] = 0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45
    inputs[1] = np.arange(4096) * np.float32(np.pi / 4)
    answers = on_host(model, inputs, tmp_path)
    np.testing.assert_allclose(answers, run_reference(model, inputs), RELATIVE, ABSOLUTE)
