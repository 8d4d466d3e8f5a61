"""The boards that complete firmware is made for."""

from collections.abc import Mapping
from dataclasses import dataclass

from secateur.errors import SecateurError
from secateur.target.target import Target

BAUD = 115200


@dataclass(frozen=True)
class Board:
    """A board: what of the firmware is its own.

    Attributes:
        name: QEMU's, where it is emulated; else the target's.
        sources: its drivers of serial line and clock.
        clock: one of ``CLOCKS``: what its counter counts.
        clock_hz: ticks of the counter in a second.
        constants: ``BOARD_…`` of its drivers → value.
        memory: origins and sizes in place of the target's own.
        run: the command that runs or flashes an image, with ``{image}`` for its path.
    """

    name: str
    sources: tuple[str, ...]
    clock: str
    clock_hz: int
    constants: Mapping[str, int]
    memory: Mapping[str, int]
    run: str


ICOUNT_SHIFT = 7
"""An emulated instruction takes 2⁷ ns of the emulator's time, 2.5 and more ticks of any clock below."""


def _mps(name: str, hz: int, uart: int, irq: int, memory: tuple[int, int, int, int]) -> Board:
    """One of Arm's MPS boards, as QEMU 7.2 emulates it: clock, first UART, its first interrupt, memory."""
    return Board(
        name=name,
        sources=("port_cmsdk.c", "clock_systick.c"),
        clock="instructions",
        clock_hz=hz,
        constants={"UART": uart, "UART_IRQ": irq, "UART_HZ": hz},
        memory=dict(zip(("flash_origin", "flash_bytes", "ram_origin", "ram_bytes"), memory)),
        run=(
            f"qemu-system-arm -M {name} -display none -monitor none -serial pty "
            f"-icount shift={ICOUNT_SHIFT},align=off,sleep=off -kernel {{image}}"
        ),
    )


_MPS2_MEMORY = (0x0000_0000, 4 << 20, 0x2000_0000, 4 << 20)

_AN385 = _mps("mps2-an385", 25_000_000, 0x4000_4000, 0, _MPS2_MEMORY)

_AN547 = _mps("mps3-an547", 32_000_000, 0x5930_3000, 33, (0x1000_0000, 512 << 10, 0x3100_0000, 2 << 20))

EMULATED: Mapping[str, Board] = {
    "cortex-m0plus": _AN385,  # a Cortex-M3, which has every instruction of an M0+
    "cortex-m3": _AN385,
    "cortex-m4": _mps("mps2-an386", 25_000_000, 0x4000_4000, 0, _MPS2_MEMORY),
    "cortex-m7": _mps("mps2-an500", 25_000_000, 0x4000_4000, 0, (0, 4 << 20, 0x2000_0000, 4 << 20)),
    "cortex-m33": _mps(
        "mps2-an505", 20_000_000, 0x5020_0000, 32, (0x1000_0000, 4 << 20, 0x3800_0000, 2 << 20)
    ),
    "cortex-m55": _AN547,
    "cortex-m85": _AN547,  # a Cortex-M55, which has every instruction that is made for an M85
}
"""Core → the board of that core that QEMU emulates, in secure state where there is one."""


def _stm32f4(name: str, config: str) -> Board:
    """A board with an STM32F4 that is flashed by OpenOCD, with its configuration files."""
    return Board(
        name=name,
        sources=("port_stm32f4.c", "clock_systick.c"),
        clock="cycles",
        clock_hz=16_000_000,
        constants={"UART_HZ": 16_000_000},
        memory={},
        run=f'openocd {config} -c "program {{image}} verify reset exit"',
    )


FLASHED: Mapping[str, Board] = {
    "stm32f446re": _stm32f4("stm32f446re", "-f board/st_nucleo_f4.cfg"),
    "stm32f405": _stm32f4("stm32f405", "-f interface/stlink.cfg -f target/stm32f4x.cfg"),
}
"""Target → the real board, where there is a driver for its serial port. None was tried on hardware here; the driver
was, on QEMU's STM32F405."""


def board_of(target: Target) -> Board:
    """The board itself where there is a driver for it, else the emulated one with its core."""
    return FLASHED.get(target.name) or emulated_board(target)


def emulated_board(target: Target) -> Board:
    """The emulated board with a target's core.

    Raises:
        SecateurError: there is none.
    """
    if target.core not in EMULATED:
        raise SecateurError(
            f"QEMU has boards with {', '.join(EMULATED)}",
            f"{target.name} is a {target.core}",
            "Use another device.",
        )
    return EMULATED[target.core]


def board_header(board: Board) -> str:
    """``board.h``."""
    constants = {"CLOCK_HZ": board.clock_hz, "BAUD": BAUD, **board.constants}
    defines = "".join(f"#define BOARD_{name} {value:#x}u\n" for name, value in constants.items())
    return (
        f"/* {board.name}. Generated. */\n#ifndef BOARD_H\n#define BOARD_H\n\n"
        f"#define BOARD_CLOCK WIRE_CLOCK_{board.clock.upper()}\n{defines}\n#endif\n"
    )
