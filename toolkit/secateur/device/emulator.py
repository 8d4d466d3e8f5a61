"""An emulated Cortex-M that runs the generated C as it was linked for the board.

Unicorn executes the image without hooks, so that a call costs little more than its instructions. Instructions
are
counted on a second machine, one by one: a hook slows a machine down for good.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import unicorn
from unicorn import arm_const

from secateur.device.image import Image, load_image
from secateur.device.protocol import call_shape, checked_inputs, random_inputs
from secateur.errors import SecateurError
from secateur.export.toolchain import image_sizes
from secateur.network import Network
from secateur.operators.lower import lower
from secateur.operators.program import Program
from secateur.records import Measurement
from secateur.target.arena import plan
from secateur.target.target import Target

CPU_MODELS = {
    "cortex-m0": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,  # the same instructions
    "cortex-m3": arm_const.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm_const.UC_CPU_ARM_CORTEX_M33,
}
"""A target's core → the emulator's model of it."""

_PAGE = 4096
_RETURN = 0x7000_0000  # a page that is neither flash nor RAM: a call ends when it returns there
_PAINT = 0xA5
_COUNTED_CALLS = 2


class Emulator:
    """A ``Device``: the image of one network on the emulated core of its board."""

    def __init__(self, network: Network, image: Path, target: Target, name: str) -> None:
        """Load an image.

        Args:
            network: what the image was generated from.
            image: ELF, from ``build``.
            target: whose core and addresses it was linked for.
            name: the prefix it was generated with.

        Raises:
            SecateurError: the core has no emulator, or the image is not one.
        """
        if target.core not in CPU_MODELS:
            raise SecateurError(
                f"the emulator has {', '.join(CPU_MODELS)}",
                f"{target.name} is a {target.core}",
                "Use another device.",
            )
        self.network = network
        self.name = f"emulator ({target.core}, Unicorn {unicorn.__version__})"
        self._target = target
        self._path = image
        self._image = load_image(image)
        self.program = lower(network)
        try:
            self._entry = self._image.symbols[f"{name}_step"]
            self._arena = self._image.symbols[f"{name}_arena"]
        except KeyError as error:
            raise SecateurError(
                "an image has its step function and its arena", f"{image} lacks {error}", "Build it again."
            ) from error
        self._arena_bytes = plan(self.program.buffers).size_bytes
        self._places = _places(self.program, self._arena)
        self._machine = _machine(self._image, target)

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
        for call in range(count):
            for address, values in sources:
                self._machine.mem_write(address, values[call].tobytes())
            self._call(self._machine)
            for address, values, size in sinks:
                stored = self._machine.mem_read(address, size)
                values[call] = np.frombuffer(stored, values.dtype).reshape(values.shape[1:])
        return outputs

    def measure(self) -> Measurement:
        """Sizes from the image, the deepest stack of all calls so far, instructions counted one by one."""
        total, steps = self._count()
        if self._stack_bytes() == 0:
            self._call(self._machine)
        sizes = image_sizes(self._path)
        latency = self._target.latency
        return Measurement(
            device=self.name,
            weights_bytes=sizes.weights_bytes,
            tables_bytes=sizes.tables_bytes,
            code_bytes=sizes.code_bytes,
            static_ram_bytes=sizes.static_ram_bytes,
            stack_bytes=self._stack_bytes(),
            instructions=total,
            operator_instructions=steps,
            latency_s=self._target.latency_s(total),
            latency_source=(
                f"counted instructions × {latency.cycles_per_instruction_low:.2f}–"
                f"{latency.cycles_per_instruction_high:.2f} cycles at {self._target.clock_hz / 1e6:g} MHz"
                f" ({latency.source})"
            ),
        )

    def close(self) -> None:
        """See ``Device.close``."""
        del self._machine

    def _call(self, machine: unicorn.Uc) -> None:
        machine.reg_write(arm_const.UC_ARM_REG_SP, self._target.ram_origin + self._target.ram_bytes)
        machine.reg_write(arm_const.UC_ARM_REG_LR, _RETURN | 1)
        try:
            machine.emu_start(self._entry | 1, _RETURN)
        except unicorn.UcError as error:
            place = machine.reg_read(arm_const.UC_ARM_REG_PC)
            raise SecateurError(
                "the generated code runs within its memory",
                f"{error} at {place:#010x} in {self._path}",
                "This is a fault of secateur; please report it with the .tflite.",
            ) from error

    def _count(self) -> tuple[int, dict[str, int]]:
        """Instructions of a call, in all and by step: the most over a few different inputs."""
        kernels = {self._image.symbols.get(f"secateur_{step.kernel}") for step in self.program.steps}
        machine = _machine(self._image, self._target)
        marks: list[int] = []
        count = 0

        def hook(_machine: unicorn.Uc, address: int, _size: int, _data: object) -> None:
            nonlocal count
            if address in kernels:
                marks.append(count)
            count += 1

        machine.hook_add(unicorn.UC_HOOK_CODE, hook)
        generator = np.random.default_rng(0)
        most, best = 0, [0] * len(self.program.steps)
        inputs = random_inputs(self.network, _COUNTED_CALLS + 2, generator)
        for call in range(_COUNTED_CALLS):
            for name, values in inputs.items():
                machine.mem_write(self._places[name, "input"], values[call + 2].tobytes())
            count = 0
            marks.clear()
            self._call(machine)
            most = max(most, count)
            best = [max(old, end - start) for old, start, end in zip(best, marks, [*marks[1:], count])]
        return most, dict(zip((step.label for step in self.program.steps), best))

    def _stack_bytes(self) -> int:
        """How far below its start the stack has been written."""
        start = self._arena + self._arena_bytes
        end = self._target.ram_origin + self._target.ram_bytes
        written = np.flatnonzero(
            np.frombuffer(self._machine.mem_read(start, end - start), np.uint8) != _PAINT
        )
        return end - start - int(written[0]) if written.size else 0


def _places(program: Program, arena: int) -> dict[tuple[str, str], int]:
    """(name, ``"input"`` or ``"output"``) → address."""
    offsets = plan(program.buffers).offsets
    sides = (("input", program.inputs), ("output", program.outputs))
    return {(name, side): arena + offsets[buffer] for side, names in sides for name, buffer in names.items()}


def _machine(image: Image, target: Target) -> unicorn.Uc:
    """A core with the board's memory, the image loaded and the rest of its RAM painted."""
    machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    machine.ctl_set_cpu_model(CPU_MODELS[target.core])
    for origin, size in (
        (target.flash_origin, target.flash_bytes),
        (target.ram_origin, target.ram_bytes),
        (_RETURN, _PAGE),
    ):
        machine.mem_map(origin, -(-size // _PAGE) * _PAGE)
    machine.mem_write(target.ram_origin, bytes([_PAINT]) * target.ram_bytes)
    for address, content in image.segments:
        machine.mem_write(address, content)
    return machine
