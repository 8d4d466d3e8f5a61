"""What every device can do: run a network on inputs as they are stored, and say what that took."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Network, Tensor
from secateur.records import Measurement


class Device(Protocol):
    """Runs one artifact, on a board, an emulator or the host.

    Attributes:
        name: for reports.
        network: what it runs.
    """

    name: str
    network: Network

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Call the network n times, one step after the other where it has states; these stay on the device.

        Args:
            inputs: name → stored values [n, …] of every input but the states, the rest being the tensor's shape
                without its batch of 1.

        Returns:
            Output name → stored values [n, …].

        Raises:
            SecateurError: wrong names, types or shapes; or the device failed.
        """
        ...

    def reset(self) -> None:
        """States become zero, as before the first call."""
        ...

    def measure(self) -> Measurement:
        """What a call takes, so far as this device can tell."""
        ...

    def close(self) -> None:
        """Let go of the device. It cannot be used afterwards."""
        ...


def run_episodes(
    device: Device, inputs: Mapping[str, np.ndarray], starts: Sequence[int]
) -> dict[str, np.ndarray]:
    """``Device.run`` over several episodes, one after the other, each from states of zero.

    Args:
        device: that runs the network.
        inputs: as of ``Device.run``, ``[n, …]``.
        starts: the row that each episode begins with, ascending, 0 first; none where the network keeps no states.
    """
    count = len(next(iter(inputs.values())))
    answers = []
    for start, end in zip(starts or (0,), (*starts[1:], count)):
        device.reset()
        answers.append(device.run({name: values[start:end] for name, values in inputs.items()}))
    return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}


def call_shape(tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape for one call: without the batch axis of 1."""
    return tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape


def checked_inputs(network: Network, inputs: Mapping[str, np.ndarray]) -> tuple[int, dict[str, np.ndarray]]:
    """Inputs checked against the network.

    Returns:
        The number of calls n; name → contiguous array [n, …].

    Raises:
        SecateurError: naming the input and the axis that is wrong.
    """
    if set(inputs) != set(network.external):
        raise SecateurError(
            "a network is given each of its inputs, and keeps its states itself",
            f"got {', '.join(sorted(inputs)) or 'none'}",
            f"Inputs: {', '.join(network.external)}.",
        )
    counts = {len(values) if values.ndim else -1 for values in inputs.values()}
    if len(counts) != 1:
        raise SecateurError(
            "all inputs hold the same number of calls", f"got {sorted(counts)}", "Correct axis 0."
        )
    for name, values in inputs.items():
        tensor = network.tensors[network.inputs[name]]
        if values.dtype != np.dtype(tensor.dtype) or values.shape[1:] != call_shape(tensor):
            raise SecateurError(
                f"input {name!r} is {tensor.dtype} [calls, {', '.join(map(str, call_shape(tensor)))}]",
                f"got {values.dtype} {list(values.shape)}",
                "Quantise it with the tensor's scale and zero point, and put one call in each row.",
            )
    return counts.pop(), {name: np.ascontiguousarray(values) for name, values in inputs.items()}


def random_inputs(network: Network, calls: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Stored values for some calls: integers over their whole range, real ones standard normal.

    The first two calls hold the least and the greatest integer everywhere.
    """
    inputs = {}
    for name, tensor in network.external.items():
        shape, dtype = (calls, *call_shape(network.tensors[tensor])), np.dtype(network.tensors[tensor].dtype)
        if dtype.kind == "f":
            inputs[name] = generator.standard_normal(shape).astype(dtype)
            continue
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        values = generator.integers(low, high, shape, np.int64, endpoint=True).astype(dtype)
        values[:1], values[1:2] = low, high
        inputs[name] = values
    return inputs


def zero_states(network: Network) -> dict[str, np.ndarray]:
    """States before the first call: name → stored values in the tensor's shape."""
    states = {}
    for name in network.states:
        tensor = network.tensors[network.inputs[name]]
        zero = tensor.quantization.zero_points[0] if tensor.quantization else 0
        states[name] = np.full(tensor.shape, zero, tensor.dtype)
    return states
