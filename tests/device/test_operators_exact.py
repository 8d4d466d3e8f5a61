"""Every operator: TFLM = portable C under sanitizers = generated C on emulated cores, byte for byte."""

import os
import shutil

import numpy as np
import pytest
from batches import Batch
from reference_runtime import run_reference
from single_layers import BUILDERS

from secateur.device import qemu
from secateur.operators.lower import lower
from secateur.target.cost import price
from secateur.target.target import load_target, optimised

TARGET = load_target("stm32f446re")
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"
CALLS = 8


def drawn(network, seed):
    """Inputs [calls, …] of the network's one input, extremes among them."""
    (tensor,) = network.inputs.values()
    shape = network.tensors[tensor].shape
    inputs = np.random.default_rng(seed).integers(-128, 128, (CALLS, *shape), dtype=np.int8)
    inputs[0], inputs[1] = -128, 127
    return inputs


def check(cases, folder, target=TARGET, counted=True):
    """Networks of (kind, seed), all in one image."""
    models = [BUILDERS[kind](np.random.default_rng((seed, len(kind)))) for kind, seed in cases]
    batch = Batch(models, target, folder)
    for index, ((kind, seed), model) in enumerate(zip(cases, models)):
        network, device = batch.networks[index], batch.emulator(index)
        inputs = drawn(network, seed)
        expected = run_reference(model, inputs)
        ((name, _),) = network.inputs.items()
        given = inputs[:, 0] if inputs.shape[1] == 1 else inputs
        (output,) = device.run({name: given}).values()
        what = f"{kind} {seed}: {[(step.kernel, step.payload) for step in device.program.steps]}"
        np.testing.assert_array_equal(output.reshape(CALLS, -1), expected, what)
        np.testing.assert_array_equal(batch.run_host(index, inputs), expected, what)

        program, measured, sizes = lower(network, target.choice), device.measure(), batch.sizes(index)
        predicted = price(program, target)
        assert predicted.weights_bytes == sizes.weights_bytes, what
        assert predicted.tables_bytes == sizes.tables_bytes, what
        assert predicted.static_ram_bytes == sizes.static_ram_bytes, what
        assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512, what
        if not counted:
            continue
        assert abs(predicted.instructions - measured.instructions) <= 0.15 * measured.instructions + 200, what


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_operator(tmp_path, kind):
    check([(kind, seed) for seed in range(4)], tmp_path)


@pytest.mark.parametrize("kind", ["conv", "depthwise", "depthwise_3x3", "dilated_depthwise"])
def test_by_size(tmp_path, kind):
    check([(kind, seed) for seed in range(3)], tmp_path, optimised(TARGET, "size"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", BUILDERS)
def test_every_operator_many_times(tmp_path, kind):
    batches = 40 if EXHAUSTIVE else 1
    for batch in range(batches):
        check([(kind, seed) for seed in range(100 + 25 * batch, 125 + 25 * batch)], tmp_path / str(batch))


@pytest.mark.slow
@pytest.mark.parametrize("board", ["rp2040", "nrf5340", "stm32h743", "mps3-an547"])
def test_every_operator_on_other_cores(tmp_path, board):
    """Cortex-M0+, M33, M7; and M55, which QEMU emulates."""
    if load_target(board).emulator == "qemu" and shutil.which(qemu.PROGRAM) is None:
        pytest.skip(f"{qemu.PROGRAM} is not installed")
    seeds = range(200, 220) if EXHAUSTIVE else (200,)
    for seed in seeds:
        check([(kind, seed) for kind in BUILDERS], tmp_path / str(seed), load_target(board), counted=False)
