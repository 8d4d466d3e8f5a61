"""Outputs that are inputs of the same call, or one tensor under two names: what they are in torch, on every device."""

import numpy as np
import pytest
import torch
from test_states import check
from torch import nn

from secateur.export.litert import run_signature
from secateur.export.quantize import convert
from secateur.export.read import read_tflite
from secateur.export.states import mark_states
from secateur.export.tflite import to_tflite
from secateur.policy.policy import Component, Entry, Policy


class Net(nn.Module):
    """Its memory is the last observation; some operators (ELU) stay in float32 when the rest becomes integers."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def curved(self, observation, memory):
        hidden = nn.functional.elu(observation) + torch.relu(self.layer(memory))
        return {"action": self.head(hidden), "memory": observation, "before": memory}

    def twice(self, observation, memory):
        action = self.head(torch.relu(self.layer(memory)) + observation)
        return {"action": action, "memory": observation, "said": action, "seen": observation}

    def unread(self, observation, memory):
        return {"action": self.head(self.layer(observation)), "memory": memory}


FED = {"curved": {"memory": "memory"}, "twice": {"memory": "memory"}, "unread": {"memory": "memory"}}


@pytest.mark.parametrize("dtype", ["int8", "int16x8", "float32"])
@pytest.mark.parametrize("name", FED)
def test_what_passes_through_keeps_its_name_and_value(tmp_path, name, dtype):
    torch.manual_seed(0)
    examples = {"observation": torch.zeros(1, 4), "memory": torch.zeros(1, 4)}
    feeds = {fed: (f"act.{output}",) for fed, output in FED[name].items()}
    entry = Entry("act", getattr(Net, name), examples, feeds)
    policy = Policy(name, Net(), (Component("all", ("layer", "head")),), (entry,))
    generator = np.random.default_rng(0)
    samples = {key: generator.standard_normal((64, 4)).astype(np.float32) for key in examples}
    ties = [("", output, fed) for fed, output in FED[name].items()]
    model = mark_states(convert(to_tflite(policy), dtype, {"": samples}, ties), FED[name])
    network = read_tflite(model)
    with torch.no_grad():
        wanted = entry.run(policy.module, {key: torch.from_numpy(rows) for key, rows in samples.items()})
    assert network.outputs.keys() == wanted.keys()
    given = run_signature(model, samples)
    for output, values in wanted.items():
        np.testing.assert_allclose(given[output], values.numpy(), atol=0.1, err_msg=output)
    assert network.outputs.get("memory") in network.inputs.values()
    if dtype != "float32" and name != "curved":  # TFLM has no SELECT, which is in ELU
        check(model, tmp_path)
