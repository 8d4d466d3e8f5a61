"""Firmware in the loop: an artifact on a device as the controller of a task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secateur.device.protocol import Device
from secateur.policy.policy import Task
from secateur.records import ALONE, Part
from secateur.simulate.controller import LANES, stack_inputs
from secateur.simulate.holding import Holding, Rows
from secateur.verify.quantized import dequantize, quantize


class FirmwareController:
    """Observation → ``to_inputs`` → quantise → device → dequantise → ``to_action``, as a robot's C code does.

    Parts hand over what they gave as it is stored: the flows between them have one scale at both ends.

    Args:
        devices: runs the network, or one for each part by its name; called with all lanes at once, but one at a time
            where a network keeps states.
        task: gives the maps.
        parts: of the policy, as they run.
        late: see ``Holding``.

    Attributes:
        lanes: that can be kept apart.
    """

    def __init__(
        self,
        devices: Device | Mapping[str, Device],
        task: Task,
        parts: Sequence[Part] = ALONE,
        late: Mapping[str, int] = {},
    ) -> None:
        self.devices = devices if isinstance(devices, Mapping) else {parts[-1].name: devices}
        self.task = task
        self.lanes = 1 if any(device.network.states for device in self.devices.values()) else LANES
        self._holding = Holding(parts, late)

    def reset(self, lanes: Sequence[int]) -> None:
        """States, if the network has any, become zero; parts start anew."""
        self._holding.reset(lanes)
        for device in self.devices.values():
            if device.network.states:
                device.reset()

    def act(self, observations: Sequence[Any], lanes: Sequence[int]) -> list[Any]:
        """One action for each observation."""
        inputs = stack_inputs([self.task.to_inputs(observation) for observation in observations])
        answers = self._holding.step(inputs, lanes, self._run)
        network = self.devices[self._holding.parts[-1].name].network
        outputs = {name: dequantize(array, network.outputs, network, name) for name, array in answers.items()}
        return [
            self.task.to_action({name: rows[row : row + 1] for name, rows in outputs.items()})
            for row in range(len(observations))
        ]

    def _run(self, part: Part, inputs: Rows, lanes: Sequence[int]) -> dict[str, np.ndarray]:
        device = self.devices[part.name]
        network = device.network
        several = len(self._holding.parts) > 1
        taken = network.external if several else inputs
        stored = {
            name: inputs[name] if name in part.fed else quantize(inputs[name], network.inputs, network, name)
            for name in taken
            if name not in network.states
        }
        return device.run(stored)
