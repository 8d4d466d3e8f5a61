"""TFLM on the host, from the tflite-micro wheel: the byte-exact oracle of what a microcontroller computes."""

import subprocess
import sys
from collections.abc import Mapping

import numpy as np

from secateur.device.protocol import call_shape, checked_inputs, zero_states
from secateur.errors import SecateurError
from secateur.network import Network
from secateur.records import Measurement

_LARGEST_ARENA = 1 << 26
_PROBE_TIMEOUT_S = 60

_PROBE = """\
import sys
from tflite_micro.python.tflite_micro import runtime
interpreter = runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=int(sys.argv[1]))
interpreter.invoke()
"""


class Tflm:
    """A ``Device``: a .tflite in the reference interpreter."""

    def __init__(self, network: Network, model: bytes) -> None:
        """Prepare the interpreter.

        Args:
            network: as read from the model.
            model: the .tflite.

        Raises:
            SecateurError: TFLM does not run the model, or crashes on it; found out in a process of its own.
        """
        from tflite_micro.python.tflite_micro import runtime

        self.network = network
        self.name = "tflm (tflite-micro on the host)"
        self._model = model
        arena = max(1 << 16, 4 * len(model))
        failure = _probe(model, arena)
        while failure is not None and arena < _LARGEST_ARENA:
            arena *= 4
            failure = _probe(model, arena)
        if failure is not None:
            raise SecateurError(
                "TFLM runs the int8 .tflite",
                failure,
                "Use operators that TFLM has, and quantise weights and activations.",
            )
        self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
        self.reset()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ``Device.run``."""
        count, checked = checked_inputs(self.network, inputs)
        tensors = self.network.tensors
        places = {name: place for place, name in enumerate(self.network.inputs)}
        sources = [
            (checked[name].reshape(count, *tensors[tensor].shape), places[name])
            for name, tensor in self.network.external.items()
        ]
        outputs = {
            name: np.empty((count, *call_shape(tensors[tensor])), tensors[tensor].dtype)
            for name, tensor in self.network.outputs.items()
        }
        for call in range(count):
            for values, place in sources:
                self._interpreter.set_input(values[call], place)
            for name, values in self._states.items():
                self._interpreter.set_input(values, places[name])
            self._interpreter.invoke()
            for place, results in enumerate(outputs.values()):
                results[call] = np.asarray(self._interpreter.get_output(place)).reshape(results.shape[1:])
            for name, output in self.network.states.items():
                self._states[name] = outputs[output][call].reshape(self._states[name].shape)
        return outputs

    def reset(self) -> None:
        """See ``Device.reset``."""
        self._states = zero_states(self.network)

    def measure(self) -> Measurement:
        """The model's size as weights, and the smallest arena it runs in; the host can tell nothing else."""
        low, high = 0, 1024
        while _probe(self._model, high) is not None and high < _LARGEST_ARENA:
            low, high = high, 2 * high
        while high - low > 64:
            middle = (low + high) // 2 // 16 * 16
            low, high = (low, middle) if _probe(self._model, middle) is None else (middle, high)
        return Measurement(device=self.name, weights_bytes=len(self._model), static_ram_bytes=high)

    def close(self) -> None:
        """See ``Device.close``."""
        del self._interpreter


def _probe(model: bytes, arena_bytes: int) -> str | None:
    """Run a model once with an arena, in a child process since TFLM may crash. None, or what went wrong."""
    command = [sys.executable, "-c", _PROBE, str(arena_bytes)]
    try:
        done = subprocess.run(
            command, input=model, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it ran for more than {_PROBE_TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0].strip() if lines else f"it ended with code {done.returncode}"
