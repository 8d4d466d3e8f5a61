"""Patch by patch: TFLM = portable C under sanitizers = generated C on emulated cores, byte for byte."""

import os
import shutil

import numpy as np
import pytest
from batches import Batch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference_runtime import run_reference
from single_layers import Net
from tflite_networks import Layer, network

from secateur.device import qemu
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.operators.lower import lower
from secateur.operators.patch.rule import chain, result_window, tiled, tiling
from secateur.operators.program import Patches
from secateur.target.cost import price
from secateur.target.patches import least_bytes, within
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
needs_qemu = pytest.mark.skipif(shutil.which(qemu.PROGRAM) is None, reason="QEMU is not installed")
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"
CALLS = 3
BATCHED = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # a failing batch says which network failed
    suppress_health_check=(
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ),
)

windows, steps = st.tuples(*[st.integers(1, 4)] * 2), st.tuples(*[st.integers(1, 3)] * 2)
layers = st.tuples(
    st.sampled_from(("conv", "depthwise", "pointwise", "residual", "MAX_POOL_2D", "AVERAGE_POOL_2D")),
    windows,
    steps,
    st.integers(0, 1),
    st.sampled_from((0, 0, 1, 3)),
    st.sampled_from(((0, 0), (0, 0), (1, 1), (0, 2))),
)
cases = st.tuples(
    st.integers(0, 1 << 30),
    st.tuples(st.integers(5, 19), st.integers(5, 19), st.integers(1, 9)),
    st.lists(layers, min_size=2, max_size=5),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)


def inverted_residual(net, activation=1):
    """Wider, depthwise, narrower, and the sum with what it started from."""
    start, shape = net.current, net.shape
    net.conv(2 * shape[3] + 3, (1, 1), (1, 1), 0, activation)
    net.depthwise((3, 3), (1, 1), 0, activation)
    net.conv(shape[3], (1, 1))
    branch = net.current
    net.current = net.result(shape, net.scale * 2, 0, "sum")
    net.writer.operator("ADD", [start, branch], [net.current], "AddOptions")


def model_of(seed, image, drawn):
    """A chain of layers, then a fully connected one; windows are cut to the image where there is no padding."""
    net = Net(np.random.default_rng(seed), (1, *image))
    for kind, window, step, padding, activation, padded in drawn:
        if kind in ("conv", "depthwise") and any(padded):
            net.pad([(0, 0), padded, padded[::-1], (0, 0)])
        if padding == 1:
            window = tuple(int(min(side, size)) for side, size in zip(window, net.shape[1:3]))
        if kind == "conv":
            net.conv(int(net.generator.integers(1, 12)), window, step, padding, activation)
        elif kind == "depthwise":
            net.depthwise(window, step, padding, activation)
        elif kind == "pointwise":
            net.conv(8, (1, 1), (1, 1), 0, activation)
        elif kind == "residual":
            inverted_residual(net, activation)
        else:
            net.pool(kind, window, step, padding, activation)
    return net.finish()


def patches_of(model, shares, target):
    """Patches of the longest chain from the first step on that there are any of; or those for a budget; or none."""
    network = read_tflite(model)
    program = lower(network, target.choice)
    whole, least = price(program, target).ram_bytes, least_bytes(target, network)
    if shares[0] > 0.5 and least is not None and least < whole:
        return within(target, network, least + round(shares[1] * (whole - least - 1))).patches
    links = chain(program, 0)
    for end in range(len(links), 0, -1):
        window = result_window(links[:end])
        sizes = (window.target_height, window.target_width)
        height, width = (1 + round(share * (size - 1)) for share, size in zip(shares, sizes))
        if tiling(links[:end], height, width) is not None:
            first, last = (program.steps[links[place].index].label for place in (0, end - 1))
            return (Patches(first, last, height, width),)
    return ()


def _cnn():
    net = Net(np.random.default_rng(5), (1, 31, 26, 3))
    net.conv(8, (3, 3), (2, 2))
    net.depthwise((3, 3), (1, 1))
    net.conv(16, (1, 1))
    net.depthwise((3, 3), (2, 2))
    net.conv(6, (1, 1), (1, 1))
    return net.finish()


CNN = _cnn()


def check(drawn, folder, target=TARGET, counted=True):
    models = [model_of(*case[:3]) for case in drawn]
    patches = [patches_of(model, case[3], target) for model, case in zip(models, drawn)]
    batch = Batch(models, target, folder, patches=patches)
    try:
        for index, (model, case) in enumerate(zip(models, drawn)):
            read, device = batch.networks[index], batch.emulator(index)
            ((name, tensor),) = read.inputs.items()
            inputs = np.random.default_rng(index).integers(
                -128, 128, (CALLS, *read.tensors[tensor].shape), dtype=np.int8
            )
            inputs[0] = -128
            expected, program = run_reference(model, inputs), device.program
            what = f"{case}: {program.loops} {[(step.kernel, step.payload) for step in program.steps]}"
            np.testing.assert_array_equal(batch.run_host(index, inputs), expected, what)
            (output,) = device.run({name: inputs[:, 0]}).values()
            np.testing.assert_array_equal(output.reshape(CALLS, -1), expected, what)
            predicted, measured = price(program, batch.targets[index]), device.measure()
            sizes = batch.sizes(index)
            assert predicted.weights_bytes == sizes.weights_bytes, what
            assert predicted.tables_bytes == sizes.tables_bytes, what
            assert predicted.static_ram_bytes == sizes.static_ram_bytes, what
            assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512, what
            error = abs(predicted.instructions - measured.instructions)
            slack = 200 + 20 * sum(1 for _ in program.calls())  # of tiny calls, by the coefficients of one
            assert not counted or error <= 0.15 * measured.instructions + slack, (what, predicted, measured)
    finally:
        batch.close()
    return patches


@given(st.lists(cases, min_size=6, max_size=6))
@settings(BATCHED, max_examples=2)
def test_patches_answer_as_tflm(tmp_path, drawn):
    check(drawn, tmp_path)


SEVERAL = (
    (1, (14, 11, 3), [("conv", (3, 3), (2, 2), 0, 1, (0, 0)), ("depthwise", (3, 3), (1, 1), 0, 3, (0, 0))]),
    (
        2,
        (12, 15, 8),
        [("depthwise", (4, 2), (1, 2), 0, 0, (1, 1)), ("pointwise", (1, 1), (1, 1), 0, 0, (0, 0))],
    ),
    (3, (9, 17, 5), [("MAX_POOL_2D", (3, 3), (2, 2), 0, 0, (0, 0)), ("conv", (2, 3), (1, 1), 1, 1, (0, 2))]),
)


def test_on_a_core_without_dsp(tmp_path):
    """Its coefficients err more on layers as small as these, so instructions are not held."""
    drawn = [(*case, shares) for case in SEVERAL for shares in ((0.3, 0.3), (0.0, 1.0))]
    assert all(check(drawn, tmp_path, load_target("rp2040"), counted=False))


@needs_qemu
def test_on_a_core_with_helium(tmp_path):
    """Kernels of its own, with scratch of their own."""
    drawn = [(*case, shares) for case in SEVERAL for shares in ((0.3, 0.3), (0.0, 1.0))]
    assert all(check(drawn, tmp_path, load_target("mps3-an547"), counted=False))


@pytest.mark.slow
@given(st.lists(cases, min_size=20, max_size=20))
@settings(BATCHED, max_examples=25 if EXHAUSTIVE else 2)
def test_many_patches_answer_as_tflm(tmp_path, drawn):
    check(drawn, tmp_path)
    check(drawn, tmp_path / "without", load_target("rp2040"), counted=False)
    if shutil.which(qemu.PROGRAM):
        check(drawn, tmp_path / "helium", load_target("mps3-an547"), counted=False)


def test_a_network_that_fits_stays_as_it_is():
    cnn = read_tflite(CNN)
    whole = price(lower(cnn), TARGET).ram_bytes
    files = generate(cnn, TARGET, "net")
    assert generate(cnn, within(TARGET, cnn, None), "net") == files
    assert generate(cnn, within(TARGET, cnn, whole), "net") == files


def test_the_quickest_of_those_that_fit():
    """Held against every chain and every size of patches."""
    cnn = read_tflite(CNN)
    program, whole = lower(cnn), price(lower(cnn), TARGET)
    costs = []
    for start in range(len(program.steps)):
        links = chain(program, start)
        for end in range(1, len(links) + 1):
            window = result_window(links[:end])
            for height in range(1, window.target_height + 1):
                for width in range(1, window.target_width + 1):
                    if (each := tiling(links[:end], height, width)) is not None:
                        costs.append(price(tiled(program, [each]), TARGET))
    least = min(cost.ram_bytes for cost in costs)
    assert least < 0.75 * whole.ram_bytes
    for budget in (whole.ram_bytes - 1, (whole.ram_bytes + least) // 2, least):
        target = within(TARGET, cnn, budget)
        found = price(lower(cnn, target.choice), target)
        assert found.ram_bytes <= budget
        best = min(cost.instructions for cost in costs if cost.ram_bytes <= budget)
        assert found.instructions == best
    seen = f"it takes {whole.ram_bytes:,} B whole and {least:,} B at least by patches; {least - 1:,} B were given"
    with pytest.raises(SecateurError, match=seen):
        within(TARGET, cnn, least - 1)


def test_several_chains_between_sums(tmp_path):
    """Each by patches of its own; the first images of residual blocks stay whole."""
    net = Net(np.random.default_rng(3), (1, 24, 20, 4))
    inverted_residual(net)
    net.conv(16, (3, 3), (2, 2))
    inverted_residual(net)
    model = net.finish()
    read = read_tflite(model)
    target = within(TARGET, read, least_bytes(TARGET, read))
    assert len(lower(read, target.choice).loops) == 2
    batch = Batch([model], TARGET, tmp_path, patches=[target.patches])
    inputs = np.random.default_rng(0).integers(-128, 128, (CALLS, 1, 24, 20, 4), dtype=np.int8)
    np.testing.assert_array_equal(batch.run_host(0, inputs), run_reference(model, inputs))


def test_what_has_no_images_says_so():
    seen = "B whole and no steps of it go by patches; 16 B were given"
    with pytest.raises(SecateurError, match=seen):
        within(TARGET, read_tflite(network(6, [Layer(17), Layer(3)], 0)), 16)


@given(cases)
@settings(BATCHED, max_examples=40)
def test_the_least_that_is_named_is_met(case):
    model = model_of(*case[:3])
    network, least = read_tflite(model), least_bytes(TARGET, read_tflite(model))
    if least is None:
        return
    target = within(TARGET, network, least)
    assert price(lower(network, target.choice), target).ram_bytes <= least
