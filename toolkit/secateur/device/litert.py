"""LiteRT in this process: what a .tflite computes on a computer, for closed loops and calibration."""

import platform
from collections.abc import Mapping

import numpy as np

from secateur.device.protocol import call_shape, checked_inputs, zero_states
from secateur.errors import SecateurError
from secateur.network import Network
from secateur.records import Measurement


class LiteRt:
    """A ``Device``: the first signature of a .tflite on LiteRT, one thread."""

    def __init__(self, network: Network, model: bytes) -> None:
        """Prepare the interpreter.

        Args:
            network: as read from the model.
            model: the .tflite.

        Raises:
            SecateurError: LiteRT does not run it.
        """
        from ai_edge_litert.interpreter import Interpreter

        self.network = network
        self._size = len(model)
        self.name = f"LiteRT ({platform.machine()})"
        try:
            self._interpreter = Interpreter(model_content=model, num_threads=1)
            self._runner = self._interpreter.get_signature_runner(
                next(iter(self._interpreter.get_signature_list()))
            )
        except (RuntimeError, ValueError, StopIteration) as error:
            raise SecateurError("LiteRT runs the .tflite", str(error), "Convert it again.") from error
        self.reset()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ``Device.run``."""
        count, checked = checked_inputs(self.network, inputs)
        tensors = self.network.tensors
        shaped = {
            name: values.reshape(count, *tensors[self.network.inputs[name]].shape)
            for name, values in checked.items()
        }
        outputs = {
            name: np.empty((count, *call_shape(tensors[tensor])), tensors[tensor].dtype)
            for name, tensor in self.network.outputs.items()
        }
        for call in range(count):
            answer = self._runner(**{name: values[call] for name, values in shaped.items()}, **self._states)
            for name, values in outputs.items():
                values[call] = answer[name].reshape(values.shape[1:])
            for name, output in self.network.states.items():
                self._states[name] = answer[output].copy()
        return outputs

    def reset(self) -> None:
        """See ``Device.reset``."""
        self._states = zero_states(self.network)

    def measure(self) -> Measurement:
        """The model's size; time is measured by ``secateur bench``, in a process of its own."""
        return Measurement(device=self.name, weights_bytes=self._size)

    def close(self) -> None:
        """See ``Device.close``."""
        del self._runner, self._interpreter
