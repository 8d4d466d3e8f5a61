"""Kernels for Helium: TFLM = portable C under sanitizers = generated C on a Cortex-M55 in QEMU, byte for byte."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from batches import Batch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference_runtime import run_reference
from single_layers import BUILDERS, Net
from tflite_networks import Layer, Writer, network

from secateur.device import gdb, qemu
from secateur.device.devices import open_device
from secateur.device.emulator import CORES, linked_for
from secateur.device.gdb import Gdb
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import build
from secateur.operators.lower import lower
from secateur.operators.program import Choice
from secateur.target.cost import price
from secateur.target.target import load_target

TARGET = load_target("mps3-an547")
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"
QEMU = shutil.which(qemu.PROGRAM) is not None
needs_qemu = pytest.mark.skipif(not QEMU, reason=f"{qemu.PROGRAM} is not installed")
CALLS = 4
BATCHED = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # a failing batch says which layer failed
    suppress_health_check=(
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ),
)

seeds = st.integers(0, 1 << 30)
activations = st.sampled_from((0, 1, 3))
sides = st.integers(1, 9)
windows, steps = st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(*[st.integers(1, 3)] * 2)
dense = st.tuples(st.just("dense"), seeds, st.integers(1, 300), st.integers(1, 40))
pixels = st.tuples(st.just("pixels"), seeds, sides, sides, st.integers(1, 70), st.integers(1, 40))
conv = st.tuples(
    *(st.just("conv"), seeds, sides, sides, st.integers(1, 40), st.integers(1, 20)),
    *(windows, steps, st.integers(0, 1), activations),
)
depthwise = st.tuples(
    *(st.just("depthwise"), seeds, sides, sides, st.integers(4, 50)),
    *(st.tuples(st.integers(1, 7), st.integers(1, 7)), steps, st.integers(0, 1), activations),
)
pool = st.tuples(
    *(st.sampled_from(("AVERAGE_POOL_2D", "MAX_POOL_2D")), seeds, sides, sides, st.integers(1, 50)),
    *(windows, steps, st.integers(0, 1), activations),
)
large = st.tuples(
    *(st.just("AVERAGE_POOL_2D"), seeds, st.integers(16, 18), st.integers(15, 19), st.integers(1, 20)),
    *(st.just((16, 16)), st.just((1, 1)), st.integers(0, 1), activations),
)
pair = st.tuples(st.sampled_from(("add", "sub", "mul")), seeds)
layers = st.one_of(dense, pixels, conv, depthwise, pool, large, pair)


def batches(size):
    """Layers, ``size`` to a compiler run."""
    return st.lists(layers, min_size=size, max_size=size)


def model_of(drawn):
    """The .tflite of a layer; windows are cut to the image where there is no padding."""
    kind, seed, *shape = drawn
    generator = np.random.default_rng(seed)
    if kind in BUILDERS:
        return BUILDERS[kind](generator)
    if kind == "dense":
        net = Net(generator, (1, shape[0]))
        net.dense(shape[1])
        return net.finish()
    height, width, channels, *rest = shape
    net = Net(generator, (1, height, width, channels))
    if kind == "pixels":
        net.conv(rest[0], (1, 1))
        return net.finish()
    window, step, padding, activation = rest[-4:]
    if padding == 1:
        window = min(window[0], height), min(window[1], width)
    if kind.endswith("POOL_2D"):
        net.pool(kind, window, step, padding, activation)
    elif kind == "conv":
        net.conv(rest[0], window, step, padding, activation)
    else:
        net.depthwise(window, step, padding, activation)
    return net.finish()


def check(models, labels, folder, priced=True):
    """All models in one image and one program."""
    batch = Batch(models, TARGET, folder)
    try:
        for index, (model, label) in enumerate(zip(models, labels)):
            read = batch.networks[index]
            ((name, tensor),) = read.inputs.items()
            inputs = np.random.default_rng(index).integers(
                -128, 128, (CALLS, *read.tensors[tensor].shape), dtype=np.int8
            )
            inputs[0], inputs[1] = -128, 127
            expected, program = run_reference(model, inputs), lower(read, Choice(helium=True))
            what = f"{label}: {[(step.kernel, step.payload) for step in program.steps]}"
            np.testing.assert_array_equal(batch.run_host(index, inputs), expected, what)
            if not QEMU:
                continue
            device = batch.emulator(index)
            (output,) = device.run({name: inputs[:, 0] if inputs.shape[1] == 1 else inputs}).values()
            np.testing.assert_array_equal(output.reshape(CALLS, -1), expected, what)
            if not priced:
                continue
            predicted, measured, sizes = price(program, TARGET), device.measure(), batch.sizes(index)
            assert predicted.weights_bytes == sizes.weights_bytes, what
            assert predicted.static_ram_bytes == sizes.static_ram_bytes, what
            assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512, what
            error = abs(predicted.instructions - measured.instructions)
            assert error <= 0.15 * measured.instructions + 200, (what, predicted, measured)
    finally:
        batch.close()


@given(batches(12))
@settings(BATCHED, max_examples=2)  # the first is the simplest batch of all, whatever the seed
def test_layers_answer_as_tflm(tmp_path, drawn):
    check([model_of(one) for one in drawn], drawn, tmp_path)


@pytest.mark.slow
@given(batches(60))
@settings(BATCHED, max_examples=40 if EXHAUSTIVE else 2)
def test_many_layers_answer_as_tflm(tmp_path, drawn):
    check([model_of(one) for one in drawn], drawn, tmp_path)


@pytest.mark.slow
def test_every_operator_on_this_core(tmp_path):
    """Of the portable kernels the compiler makes vectors of its own; some layers are not for Helium."""
    cases = [(kind, seed) for kind in BUILDERS for seed in range(10 if EXHAUSTIVE else 2)]
    models = [BUILDERS[kind](np.random.default_rng((seed, len(kind)))) for kind, seed in cases]
    check(models, cases, tmp_path, priced=False)


def test_what_kernels_for_helium_are_taken_for():
    """Not for sums that are scaled up, nor for windows of more taps than a byte counts."""

    def kernels(build, change=lambda tensor: tensor):
        net = Net(np.random.default_rng(0), (1, 5, 5, 12))
        build(net)
        read = read_tflite(net.finish())
        tensors = tuple(change(tensor) if tensor.name == "w" else tensor for tensor in read.tensors)
        changed = replace(read, tensors=tensors)
        assert not any("helium" in step.kernel for step in lower(changed).steps)
        return lower(changed, Choice(helium=True)).steps[0].kernel

    def least(tensor):
        return replace(tensor, data=np.full(tensor.shape, -128, np.int8))

    def coarse(tensor):
        scales = tuple(1000.0 for _ in tensor.quantization.scales)
        return replace(tensor, quantization=replace(tensor.quantization, scales=scales))

    def convolve(net):
        net.conv(6, (3, 3))

    def deepen(net):
        net.depthwise((3, 3))

    assert [kernels(convolve, change) for change in (lambda tensor: tensor, least, coarse)] == [
        *("conv_helium", "conv_helium", "conv_wide"),
    ]
    assert [kernels(deepen, change) for change in (lambda tensor: tensor, least, coarse)] == [
        *("depthwise_helium", "depthwise_helium", "depthwise"),
    ]
    wide = Net(np.random.default_rng(0), (1, 17, 17, 5))
    wide.depthwise((16, 16), padding=1)
    assert lower(read_tflite(wide.finish()), Choice(helium=True)).steps[0].kernel == "depthwise_rows"


PAIRS = [
    ("ADD", 0.1, 0.02, 0.1, "add_helium"),
    ("ADD", 0.02, 0.1, 0.1, "add_helium"),
    ("SUB", 0.02, 0.1, 0.1, "add_helium"),
    ("SUB", 0.1, 0.1, 0.1, "add_helium"),
    ("ADD", 0.1, 0.1, 2.5e-7, "add"),
    ("MUL", 0.1, 0.1, 0.1, "multiply_helium"),
    ("MUL", 0.1, 0.1, 0.015, "multiply"),
]
"""Kind, scales of the sources and of the target, kernel."""


def test_pairs_that_kernels_for_helium_are_taken_for(tmp_path):
    """Not for what is scaled by a half and more; all of them answer as TFLM."""
    models = []
    for kind, one, two, target, expected in PAIRS:
        writer = Writer()
        first = writer.tensor("in", (1, 3, 7), "int8", [one], [-3])
        values = np.arange(-10, 11).reshape(1, 3, 7) * 6
        other = writer.tensor("k", (1, 3, 7), "int8", [two], [5], values)
        result = writer.tensor("out", (1, 3, 7), "int8", [target], [7])
        writer.operator(kind, [first, other], [result], f"{kind.capitalize()}Options")
        models.append(writer.finish([first], [result]))
        (step,) = lower(read_tflite(models[-1]), Choice(helium=True)).steps
        (plain,) = lower(read_tflite(models[-1])).steps
        assert (step.kernel, plain.kernel) == (expected, expected.removesuffix("_helium"))
    check(models, PAIRS, tmp_path, priced=False)


SMALL = network(5, [Layer(37, activation=1, zero_point=-128), Layer(2, tail=("TANH",))], 0)


@needs_qemu
def test_a_core_in_qemu_counts_exactly(tmp_path):
    """Calls, marks and memory; what a call costs does not depend on how often it was stopped on the way."""
    read, place = read_tflite(SMALL), linked_for(TARGET)
    device = open_device("emulator", SMALL, TARGET, tmp_path)
    inputs = random_inputs(read, 5, np.random.default_rng(0))
    np.testing.assert_array_equal(device.run(inputs)["action"], run_reference(SMALL, inputs["observation"]))
    measured = device.measure()
    device.close()
    image = build(generate(read, TARGET, "network"), place, "network", tmp_path / "again")
    core = CORES["qemu"](image, place)
    entry, top = device._image.symbols["network_step"], place.ram_origin + place.ram_bytes
    plain, again = (core.count(entry, top, ()).instructions for _ in range(2))
    assert plain == again == core.count(entry, top, {device._image.symbols["secateur_lookup"]}).instructions
    assert sum(measured.operator_instructions.values()) <= plain == measured.instructions
    core.write(place.ram_origin, bytes(range(200)) * 20)
    assert core.read(place.ram_origin, 4000) == bytes(range(200)) * 20
    with pytest.raises(SecateurError, match=r"it stopped at|QEMU"):
        core.call(0x6FFF_FFF0, top)  # nothing is there
    core.close()


def test_an_emulator_that_ends_or_is_silent(monkeypatch):
    with pytest.raises(SecateurError, match="no such program"):
        Gdb(["no such program"])
    with pytest.raises(SecateurError, match="it ended"):
        Gdb(["true"])
    monkeypatch.setattr(gdb, "_ANSWER_S", 0.05)
    with pytest.raises(SecateurError, match="silent"):
        Gdb(["sleep", "60"])


def test_without_qemu_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    image = build(generate(read_tflite(SMALL), TARGET, "network"), linked_for(TARGET), "network", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SecateurError, match="apt install qemu-system-arm"):
        CORES["qemu"](image, linked_for(TARGET))
