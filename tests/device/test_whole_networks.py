"""Networks converted from torch: TFLM = generated C on the emulated Cortex-M4; the arena beside TFLM's.

``--junitxml FILE`` keeps the figures of each network.
"""

import os

import numpy as np
import pytest
from reference_runtime import run_reference
from torch_networks import NETWORKS, int8_model

from secateur.device.emulator import Emulator
from secateur.device.tflm import Tflm
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import build
from secateur.operators.lower import lower
from secateur.target.arena import plan
from secateur.target.cost import price
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
CALLS = 1000 if os.environ.get("SECATEUR_EXHAUSTIVE") == "1" else 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_network(tmp_path, kind, record_property):
    model = int8_model(kind)
    network = read_tflite(model)
    program = lower(network)
    device = Emulator(
        network, build(generate(network, TARGET, "net"), TARGET, "net", tmp_path), TARGET, "net"
    )
    ((name, _),) = network.inputs.items()
    inputs = np.random.default_rng(1).integers(-128, 128, (CALLS, *kind.shape[1:]), dtype=np.int8)
    (outputs,) = device.run({name: inputs}).values()
    expected = run_reference(model, inputs)
    np.testing.assert_array_equal(outputs.reshape(CALLS, -1), expected)
    assert len(np.unique(expected)) > 10

    predicted, measured, arena = price(program, TARGET), device.measure(), plan(program.buffers)
    assert predicted.weights_bytes == measured.weights_bytes
    assert predicted.tables_bytes == measured.tables_bytes
    assert predicted.static_ram_bytes == measured.static_ram_bytes
    assert 0 <= predicted.code_bytes - measured.code_bytes <= 512 + 8 * max(0, len(program.steps) - 20)
    assert 0 <= predicted.stack_bytes - measured.stack_bytes <= 512
    assert abs(predicted.instructions / measured.instructions - 1) <= 0.03
    assert arena.size_bytes <= 1.05 * arena.lower_bound_bytes
    reference_bytes = Tflm(network, model).measure().static_ram_bytes
    assert arena.size_bytes < reference_bytes
    by_layer = {
        f"{step.kernel} {step.label}": round(measured.operator_instructions[step.label] / step.macs, 2)
        for step in program.steps
        if step.macs
    }
    for key, value in {
        "operators": " ".join(sorted({operator.kind for operator in network.operators})),
        "instructions_per_mac": round(measured.instructions / predicted.macs, 3),
        "instructions_per_mac_by_layer": by_layer,
        "arena_bytes": arena.size_bytes,
        "lower_bound_bytes": arena.lower_bound_bytes,
        "tflm_arena_bytes": reference_bytes,
        "flash_bytes": predicted.flash_bytes,
        "tflite_bytes": len(model),
    }.items():
        record_property(key, value)
