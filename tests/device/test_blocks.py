"""Blocks of policies as a converter writes them: TFLM = generated C on the emulated Cortex-M4, byte for byte."""

import numpy as np
import pytest
from reference_runtime import for_tflm, run_reference
from torch_networks import BLOCKS, int8_model

from secateur.device.devices import open_device
from secateur.operators.lower import lower
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
CALLS = 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.__name__)
def test_block(tmp_path, kind):
    model = int8_model(kind)
    device = open_device("emulator", model, TARGET, tmp_path)
    ((name, _),) = device.network.inputs.items()
    inputs = np.random.default_rng(0).integers(-128, 128, (CALLS, *kind.shape[1:]), dtype=np.int8)
    (outputs,) = device.run({name: inputs}).values()
    expected = run_reference(for_tflm(model), inputs)
    np.testing.assert_array_equal(outputs.reshape(CALLS, -1), expected)
    assert len(np.unique(expected)) > 10
    curves = [step for step in lower(device.network).steps if step.kernel == "lookup"]
    if kind in BLOCKS[:3]:
        assert len(curves) == 1
    device.close()
