"""Firmware in the loop: an artifact on a device as the controller of a task."""

from collections.abc import Sequence
from typing import Any

from secateur.device.protocol import Device
from secateur.policy.policy import Task
from secateur.simulate.controller import LANES, stack_inputs
from secateur.verify.quantized import dequantize, quantize


class FirmwareController:
    """Observation → ``to_inputs`` → quantise → device → dequantise → ``to_action``, as a robot's C code does.

    Args:
        device: runs the network; called with all lanes at once, but one at a time where it keeps states.
        task: gives the maps.

    Attributes:
        lanes: that can be kept apart.
    """

    def __init__(self, device: Device, task: Task) -> None:
        self.device = device
        self.task = task
        self.lanes = 1 if device.network.states else LANES

    def reset(self, lanes: Sequence[int]) -> None:
        """States, if the network has any, become zero."""
        if self.device.network.states:
            self.device.reset()

    def act(self, observations: Sequence[Any], lanes: Sequence[int]) -> list[Any]:
        """One action for each observation."""
        network = self.device.network
        inputs = stack_inputs([self.task.to_inputs(observation) for observation in observations])
        stored = {
            name: quantize(array, network.inputs, network, name)
            for name, array in inputs.items()
            if name not in network.states
        }
        answers = self.device.run(stored)
        outputs = {name: dequantize(array, network.outputs, network, name) for name, array in answers.items()}
        return [
            self.task.to_action({name: rows[row : row + 1] for name, rows in outputs.items()})
            for row in range(len(observations))
        ]
