"""A ``Core`` in Unicorn, which runs in this process. Instructions whose condition fails are not counted."""

from collections.abc import Collection
from pathlib import Path

import unicorn
from unicorn import arm_const

from secateur.device.core import Counted
from secateur.device.image import load_image
from secateur.errors import SecateurError
from secateur.target.target import Target

CPU_MODELS = {
    "cortex-m0": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,  # the same instructions
    "cortex-m3": arm_const.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm_const.UC_CPU_ARM_CORTEX_M33,
}
"""A target's core → Unicorn's model of it."""

_PAGE = 4096
_RETURN = 0x7000_0000  # a page that is neither flash nor RAM: a call ends when it returns there


class UnicornCore:
    """See ``Core``. A hook slows a machine down for good, so instructions are counted on another one."""

    name = f"Unicorn {unicorn.__version__}"

    def __init__(self, image: Path, target: Target) -> None:
        """A core with the board's memory and the image loaded.

        Raises:
            SecateurError: the core has no model, or the image is not one.
        """
        if target.core not in CPU_MODELS:
            raise SecateurError(
                f"the emulator has {', '.join(CPU_MODELS)}",
                f"{target.name} is a {target.core}",
                "Use another device.",
            )
        self._path, self._target = image, target
        self.machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.machine.ctl_set_cpu_model(CPU_MODELS[target.core])
        for origin, size in (
            (target.flash_origin, target.flash_bytes),
            (target.ram_origin, target.ram_bytes),
            (_RETURN, _PAGE),
        ):
            self.machine.mem_map(origin, -(-size // _PAGE) * _PAGE)
        for address, content in load_image(image).segments:
            self.machine.mem_write(address, content)

    def write(self, address: int, content: bytes) -> None:
        """See ``Core.write``."""
        self.machine.mem_write(address, content)

    def read(self, address: int, size_bytes: int) -> bytes:
        """See ``Core.read``."""
        return bytes(self.machine.mem_read(address, size_bytes))

    def call(self, function: int, stack_top: int) -> None:
        """See ``Core.call``."""
        self.machine.reg_write(arm_const.UC_ARM_REG_SP, stack_top)
        self.machine.reg_write(arm_const.UC_ARM_REG_LR, _RETURN | 1)
        try:
            self.machine.emu_start(function | 1, _RETURN)
        except unicorn.UcError as error:
            place = self.machine.reg_read(arm_const.UC_ARM_REG_PC)
            raise SecateurError(
                "the generated code runs within its memory",
                f"{error} at {place:#010x} in {self._path}",
                "This is a fault of secateur; please report it with the .tflite.",
            ) from error

    def counting(self) -> "UnicornCore":
        """Another machine."""
        return UnicornCore(self._path, self._target)

    def count(self, function: int, stack_top: int, marks: Collection[int]) -> Counted:
        """See ``Core.count``."""
        found: list[int] = []
        count = 0

        def hook(_machine: unicorn.Uc, address: int, _size: int, _data: object) -> None:
            nonlocal count
            if address in marks:
                found.append(count)
            count += 1

        handle = self.machine.hook_add(unicorn.UC_HOOK_CODE, hook)
        try:
            self.call(function, stack_top)
        finally:
            self.machine.hook_del(handle)
        return Counted(count, tuple(found))

    def close(self) -> None:
        """See ``Core.close``."""
        del self.machine
