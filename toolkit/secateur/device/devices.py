"""Every kind of device there is, and how to open one on a .tflite."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from secateur.device.emulator import Emulator
from secateur.device.host import Host
from secateur.device.litert import LiteRt
from secateur.device.protocol import Device
from secateur.device.tflm import Tflm
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.export.toolchain import build, build_host
from secateur.target.computer import Computer
from secateur.target.target import Target

IMAGE_NAME = "network"
"""Prefix of the C that a device generates for itself."""


def _open_emulator(model: bytes, target: Target, workdir: Path) -> Device:
    network = read_tflite(model)
    image = build(generate(network, target, IMAGE_NAME), target, IMAGE_NAME, workdir)
    return Emulator(network, image, target, IMAGE_NAME)


def _open_host(model: bytes, target: Target, workdir: Path) -> Device:
    network = read_tflite(model)
    return Host(network, build_host(generate(network, target, IMAGE_NAME), network, IMAGE_NAME, workdir))


def _open_litert(model: bytes, target: Target | Computer, workdir: Path) -> Device:
    return LiteRt(read_tflite(model), model)


def _open_tflm(model: bytes, target: Target, workdir: Path) -> Device:
    return Tflm(read_tflite(model), model)


DEVICES: dict[str, Callable[[bytes, Any, Path], Device]] = {
    "emulator": _open_emulator,
    "host": _open_host,
    "tflm": _open_tflm,
    "litert": _open_litert,
}
"""Kind → how to open it."""


def open_device(kind: str, model: bytes, target: Target | Computer, workdir: Path) -> Device:
    """A device that runs a .tflite.

    Args:
        kind: key of ``DEVICES``.
        model: the int8 .tflite; for "litert" of any dtype.
        target: the board; a computer for "litert".
        workdir: a folder for what is built on the way.

    Raises:
        SecateurError: unknown kind; or the model cannot be read, generated, built or run.
    """
    if kind not in DEVICES:
        raise SecateurError(f"devices are {', '.join(DEVICES)}", f"got {kind!r}", "Take one of them.")
    workdir.mkdir(parents=True, exist_ok=True)
    return DEVICES[kind](model, target, workdir)
