"""Every kind of device there is, and how to open one on a .tflite."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from secateur.device.emulator import CORES, Emulator, linked_for
from secateur.device.host import Host
from secateur.device.litert import LiteRt
from secateur.device.protocol import Device
from secateur.device.qemu import Qemu
from secateur.device.serial import open_serial
from secateur.device.tflm import Tflm
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.c.handover import part_sources, prefixes
from secateur.export.firmware.boards import emulated_board
from secateur.export.firmware.image import build_firmware
from secateur.export.read import read_tflite
from secateur.export.toolchain import build, build_host
from secateur.records import Part
from secateur.target.computer import Computer
from secateur.target.target import Target

IMAGE_NAME = "network"
"""Prefix of the C that a device generates for itself."""


def _open_emulator(model: bytes, target: Target, workdir: Path) -> Device:
    network = read_tflite(model)
    image = build(generate(network, target, IMAGE_NAME), linked_for(target), IMAGE_NAME, workdir)
    return Emulator(network, image, target, IMAGE_NAME)


@contextmanager
def _emulators(
    models: Mapping[str, bytes], parts: Sequence[Part], target: Target, workdir: Path
) -> Iterator[dict[str, Device]]:
    """All parts in one image on one core, as they are on the board."""
    networks, named = (
        {name: read_tflite(model) for name, model in models.items()},
        prefixes(IMAGE_NAME, parts),
    )
    files = part_sources(networks, parts, target, IMAGE_NAME)
    image = build(files, linked_for(target), IMAGE_NAME, workdir, tuple(named.values()))
    with closing(CORES[target.emulator](image, linked_for(target))) as core:
        yield {name: Emulator(networks[name], image, target, named[name], core) for name in models}


def _open_host(model: bytes, target: Target, workdir: Path) -> Device:
    network = read_tflite(model)
    program = build_host(generate(network, target, IMAGE_NAME), network, IMAGE_NAME, workdir)
    return Host(network, program, target.choice)


def _open_litert(model: bytes, target: Target | Computer, workdir: Path) -> Device:
    return LiteRt(read_tflite(model), model)


def _open_qemu(model: bytes, target: Target, workdir: Path) -> Device:
    network, board = read_tflite(model), emulated_board(target)
    image = build_firmware(network, model, target, board, IMAGE_NAME, workdir)
    return Qemu(network, model, image, board, target)


def _open_tflm(model: bytes, target: Target, workdir: Path) -> Device:
    return Tflm(read_tflite(model), model)


DEVICES: dict[str, Callable[[bytes, Any, Path], Device]] = {
    "emulator": _open_emulator,
    "host": _open_host,
    "qemu": _open_qemu,
    "tflm": _open_tflm,
    "litert": _open_litert,
}
"""Kind → how to open it."""

BUILT_FOR_BOARD = ("emulator", "qemu")
"""Kinds that run an image which the target's compiler made."""

SERIAL = "serial:"
"""Before the port of a board that runs this model's firmware already."""


def open_device(kind: str, model: bytes, target: Target | Computer, workdir: Path) -> Device:
    """A device that runs a .tflite.

    Args:
        kind: key of ``DEVICES``, or ``serial:PORT``.
        model: the int8 .tflite; for "litert" of any dtype.
        target: the board; a computer for "litert".
        workdir: a folder for what is built on the way.

    Raises:
        SecateurError: unknown kind; or the model cannot be read, generated, built or run.
    """
    if kind.startswith(SERIAL):
        return open_serial(read_tflite(model), model, kind.removeprefix(SERIAL))
    if kind not in DEVICES:
        names = f"{', '.join(DEVICES)} and {SERIAL}PORT"
        raise SecateurError(f"devices are {names}", f"got {kind!r}", "Take one of them.")
    workdir.mkdir(parents=True, exist_ok=True)
    return DEVICES[kind](model, target, workdir)


@contextmanager
def open_devices(
    kind: str, models: Mapping[str, bytes], parts: Sequence[Part], target: Target | Computer, workdir: Path
) -> Iterator[dict[str, Device]]:
    """A device for each part of a policy, by its name; all are closed at the end.

    Args:
        kind: as of ``open_device``. An emulator has all parts in one image.
        models: part → .tflite.
        parts: of the policy, in the order in which they run.
        target: as of ``open_device``.
        workdir: likewise.
    """
    if kind == "emulator" and len(parts) > 1 and isinstance(target, Target):
        workdir.mkdir(parents=True, exist_ok=True)
        with _emulators(models, parts, target, workdir) as devices:
            yield devices
        return
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(open_device(kind, model, target, workdir / name)))
            for name, model in models.items()
        }
