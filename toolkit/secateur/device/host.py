"""The generated C built for this machine: the portable kernels, at the speed of a desktop processor.

The program runs in a process of its own and is fed through pipes, so that a fault of it is an error here.
"""

import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from secateur.device.protocol import call_shape, checked_inputs, random_inputs
from secateur.errors import SecateurError
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.operators.program import BY_SPEED, Choice
from secateur.records import Measurement, Range
from secateur.target.arena import plan

_CHUNK_BYTES = 1 << 15  # of either direction at once: half of what a pipe holds, so that neither side waits
_TIMED_CALLS = 256
_ROUNDS = 5


class Host:
    """A ``Device``: the program of ``build_host``."""

    def __init__(self, network: Network, program: Path, choice: Choice = BY_SPEED) -> None:
        """Start the program.

        Args:
            network: what it was generated from.
            program: from ``build_host``.
            choice: among kernels, as it was generated.

        Raises:
            SecateurError: it cannot be started.
        """
        self.network = network
        self.name = f"host ({platform.machine()})"
        self._program, self._choice = program, choice
        self._process = _start(program)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ``Device.run``."""
        return self._run(self._process, inputs)

    def reset(self) -> None:
        """See ``Device.reset``: the program starts anew."""
        if self.network.states:
            _stop(self._process)
            self._process = _start(self._program)

    def measure(self) -> Measurement:
        """Weights, tables and static RAM to the byte; time of a call on this machine, not on the board.

        The time is of a process of its own, pipes included: the quickest and the slowest of a few rounds.
        """
        inputs = random_inputs(self.network, _TIMED_CALLS, np.random.default_rng(0))
        process = _start(self._program)
        spans = []
        try:
            for _ in range(_ROUNDS):
                start = time.perf_counter()
                self._run(process, inputs)
                spans.append((time.perf_counter() - start) / _TIMED_CALLS)
        finally:
            _stop(process)
        program = lower(self.network, self._choice)
        return Measurement(
            device=self.name,
            weights_bytes=sum(step.weights_bytes for step in program.steps),
            tables_bytes=sum(step.tables_bytes for step in program.steps),
            static_ram_bytes=plan(program.buffers).size_bytes,
            latency_s=Range(min(spans), max(spans)),
            latency_source="measured on this machine, not on the board",
        )

    def close(self) -> None:
        """See ``Device.close``."""
        _stop(self._process)

    def _run(
        self, process: subprocess.Popen[bytes], inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        count, checked = checked_inputs(self.network, inputs)
        tensors = self.network.tensors
        outputs = {
            name: np.empty((count, *call_shape(tensors[tensor])), tensors[tensor].dtype)
            for name, tensor in self.network.outputs.items()
        }
        if not count:
            return outputs
        stream = np.concatenate(
            [checked[name].reshape(count, -1).view(np.uint8) for name in self.network.external], axis=1
        )
        sizes = [values[:1].nbytes for values in outputs.values()]
        chunk = max(1, _CHUNK_BYTES // max(stream.shape[1], sum(sizes)))
        for start in range(0, count, chunk):
            calls = stream[start : start + chunk]
            answer = _exchange(process, calls.tobytes(), len(calls) * sum(sizes), self._program)
            answers = np.frombuffer(answer, np.uint8).reshape(len(calls), -1)
            position = 0
            for values, size in zip(outputs.values(), sizes):
                part = np.ascontiguousarray(answers[:, position : position + size]).view(values.dtype)
                values[start : start + chunk] = part.reshape(values[start : start + chunk].shape)
                position += size
        return outputs


def _start(program: Path) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen([program.resolve()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:
        raise SecateurError(
            "the host runs what was built for it", f"{program}: {error}", "Build it again."
        ) from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    for pipe in (process.stdin, process.stdout):
        pipe.close()
    process.wait()


def _exchange(process: subprocess.Popen[bytes], data: bytes, expected: int, program: Path) -> bytes:
    """Write the inputs of some calls, read their outputs."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(data)
        process.stdin.flush()
        answer = process.stdout.read(expected)
    except OSError:
        answer = b""
    if len(answer) != expected:
        raise SecateurError(
            "the generated code answers each call",
            f"{program} ended with code {process.wait()}",
            "This is a fault of secateur; please report it with the .tflite.",
        )
    return answer
