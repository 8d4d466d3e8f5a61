"""An emulated Cortex-M that runs the generated C as it was linked for the board.

Calls run at the emulator's full speed; instructions are counted apart from them, see ``Core``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from secateur.device.core import Core
from secateur.device.image import load_image
from secateur.device.protocol import call_shape, checked_inputs, random_inputs
from secateur.device.qemu_core import QemuCore, in_emulator
from secateur.device.unicorn_core import UnicornCore
from secateur.errors import SecateurError
from secateur.export.toolchain import image_sizes
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.records import Measurement
from secateur.target.arena import plan
from secateur.target.target import Target

CORES: dict[str, Callable[[Path, Target], Core]] = {"unicorn": UnicornCore, "qemu": QemuCore}
"""A target's emulator → its core."""

_PAINT = 0xA5
_PAINTED_BYTES = 1 << 14
"""Below the top of the stack; no kernel uses a tenth of it."""

_COUNTED_CALLS = 2


def linked_for(target: Target) -> Target:
    """The target with the addresses that an image for its emulator is linked for."""
    return in_emulator(target) if target.emulator == "qemu" else target


class Emulator:
    """A ``Device``: the image of one network on the emulated core of its board."""

    def __init__(
        self, network: Network, image: Path, target: Target, name: str, core: Core | None = None
    ) -> None:
        """Load an image.

        Args:
            network: what the image was generated from.
            image: ELF, from ``build`` for ``linked_for(target)``.
            target: whose core it was made for.
            name: the prefix it was generated with.
            core: where the image is loaded already, to be closed by who opened it.

        Raises:
            SecateurError: the core has no emulator, or the image is not one.
        """
        self.network = network
        self._target = target
        self._path = image
        self._image = load_image(image)
        self.program = lower(network, target.choice)
        try:
            self._entry = self._image.symbols[f"{name}_step"]
            self._arena = self._image.symbols[f"{name}_arena"]
            self._init = self._image.symbols[f"{name}_init"] if network.states else None
        except KeyError as error:
            raise SecateurError(
                "an image has its functions and its arena", f"{image} lacks {error}", "Build it again."
            ) from error
        self._arena_bytes = plan(self.program.buffers).size_bytes
        self._places = _places(self.program, self._arena)
        self._owned = core is None
        self._core = CORES[target.emulator](image, linked_for(target)) if core is None else core
        self.name = f"emulator ({target.core}, {self._core.name})"
        place = linked_for(target)
        self._stack_top = place.ram_origin + place.ram_bytes
        static_end = place.ram_origin + image_sizes(image).static_ram_bytes
        self._stack_end = max(static_end, self._arena + self._arena_bytes, self._stack_top - _PAINTED_BYTES)
        self._deepest = 0
        self._paint()
        self.reset()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ``Device.run``."""
        count, checked = checked_inputs(self.network, inputs)
        sources = [(self._places[name, "input"], values) for name, values in checked.items()]
        tensors = self.network.tensors
        outputs = {
            name: np.empty((count, *call_shape(tensors[tensor])), tensors[tensor].dtype)
            for name, tensor in self.network.outputs.items()
        }
        sinks = [
            (self._places[name, "output"], values, values[:1].nbytes) for name, values in outputs.items()
        ]
        if not self._owned:  # another network's calls have been there
            self._paint()
        for call in range(count):
            for address, values in sources:
                self._core.write(address, values[call].tobytes())
            self._core.call(self._entry, self._stack_top)
            for address, values, size in sinks:
                stored = self._core.read(address, size)
                values[call] = np.frombuffer(stored, values.dtype).reshape(values.shape[1:])
        if not self._owned:
            self._deepest = max(self._deepest, self._stack_bytes())
        return outputs

    def reset(self) -> None:
        """See ``Device.reset``: by the image's own function."""
        if self._init is not None:
            self._core.call(self._init, self._stack_top)

    def measure(self) -> Measurement:
        """Sizes from the image, the deepest stack of all calls so far, instructions counted one by one."""
        kept = {place: self._core.read(place, size) for place, size in self._states()}
        if self._owned:
            self._deepest = self._stack_bytes()
        if self._deepest == 0:
            self._paint()
            self._core.call(self._entry, self._stack_top)
            self._deepest = self._stack_bytes()
        total, steps = self._count()
        for place, content in kept.items():
            self._core.write(place, content)
        sizes = image_sizes(self._path)
        counts = {"": float(max(0, total - sum(steps.values())))}
        for step in self.program.steps:
            counts[step.kernel] = counts.get(step.kernel, 0.0) + steps[step.label]
        latency_s = self._target.latency_s(counts)
        return Measurement(
            device=self.name,
            weights_bytes=sizes.weights_bytes,
            tables_bytes=sizes.tables_bytes,
            code_bytes=sizes.code_bytes,
            static_ram_bytes=sizes.static_ram_bytes,
            stack_bytes=self._deepest,
            instructions=total,
            operator_instructions=steps,
            latency_s=latency_s,
            latency_source=self._target.latency_source("counted", total, latency_s),
        )

    def close(self) -> None:
        """See ``Device.close``."""
        if self._owned:
            self._core.close()

    def _count(self) -> tuple[int, dict[str, int]]:
        """Instructions of a call, in all and by step: the most over a few different inputs."""
        kernels = {self._image.symbols[f"secateur_{step.kernel}"] for step in self.program.steps}
        core = self._core.counting()
        kept = {place: self._core.read(place, size) for place, size in self._states()}
        for place, content in kept.items():
            core.write(place, content)
        generator = np.random.default_rng(0)
        most, best = 0, [0] * len(self.program.steps)
        inputs = random_inputs(self.network, _COUNTED_CALLS + 2, generator)
        for call in range(_COUNTED_CALLS):
            for name, values in inputs.items():
                core.write(self._places[name, "input"], values[call + 2].tobytes())
            counted = core.count(self._entry, self._stack_top, kernels)
            ends = [*counted.marks[1:], counted.instructions]
            found = [0] * len(best)
            for step, start, end in zip(self.program.calls(), counted.marks, ends):
                found[step] += end - start
            most = max(most, counted.instructions)
            best = [max(pair) for pair in zip(best, found)]
        if core is not self._core:
            core.close()
        return most, dict(zip((step.label for step in self.program.steps), best))

    def _states(self) -> list[tuple[int, int]]:
        """Address and bytes of every state."""
        return [
            (self._places[name, "input"], self.program.buffers[self.program.inputs[name]].size_bytes)
            for name in self.network.states
        ]

    def _paint(self) -> None:
        """The stack as no call has been there."""
        self._core.write(self._stack_end, bytes([_PAINT]) * (self._stack_top - self._stack_end))

    def _stack_bytes(self) -> int:
        """How far below its start the stack has been written."""
        size = self._stack_top - self._stack_end
        written = np.flatnonzero(np.frombuffer(self._core.read(self._stack_end, size), np.uint8) != _PAINT)
        return size - int(written[0]) if written.size else 0


def _places(program: Program, arena: int) -> dict[tuple[str, str], int]:
    """(name, ``"input"`` or ``"output"``) → address."""
    offsets = plan(program.buffers).offsets
    sides = (("input", program.inputs), ("output", program.outputs))
    return {(name, side): arena + offsets[buffer] for side, names in sides for name, buffer in names.items()}
