"""A network and a board → the sources of complete firmware, and the image of them."""

from hashlib import sha256
from importlib import resources
from math import prod
from pathlib import Path

import numpy as np

from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.c.names import Names
from secateur.export.firmware.boards import Board, board_header
from secateur.export.firmware.wire import HELLO, MAX_PAYLOAD, layout_of, tensor_layout, wire_header
from secateur.export.toolchain import link
from secateur.network import Network
from secateur.target.target import Target

FIRMWARE = "firmware"
"""Name of the image and its linker script."""

IMAGE = f"{FIRMWARE}.elf"
ENTRY = "start"

COMMON = ("frame.h", "frame.c", "serve.h", "serve.c", "model.h", "port.h", "main.c")
"""Sources of every firmware, on the host too."""

RESERVED = (
    *("board", "clock_systick", "frame", "main", "model", "port", "port_cmsdk", "port_stm32f4"),
    *("serve", "start", "wire"),
)
"""Names that a network in firmware cannot have: of the sources around it."""

_ON_CORE = ("start.h", "start.c")
_PER_LINE = 16


def tensor_bytes(network: Network, index: int) -> int:
    """Of one tensor as it is stored."""
    tensor = network.tensors[index]
    return prod(tensor.shape) * np.dtype(tensor.dtype).itemsize


def common_sources(network: Network, model: bytes, target: Target, name: str) -> dict[str, str]:
    """What firmware consists of apart from its board: the generated network, the protocol, and their joint.

    Args:
        network: as read from the model.
        model: the .tflite.
        target: whose kernels are taken.
        name: prefix of the network's symbols.

    Returns:
        Relative path → content.

    Raises:
        SecateurError: an operator that is not supported, more inputs and outputs than a frame can state, or a name
            that a source of the firmware has.
    """
    if name in RESERVED:
        raise SecateurError(
            "a network in firmware has a name that no source of the firmware has",
            f"got {name!r}",
            f"Choose another by --name than {', '.join(RESERVED)}.",
        )
    return {
        **generate(network, target, name),
        **{file: firmware_file(file) for file in COMMON},
        "wire.h": wire_header(),
        "model.c": _model_source(network, model, name),
    }


def firmware_sources(
    network: Network, model: bytes, target: Target, board: Board, name: str
) -> dict[str, str]:
    """All files of a firmware, its linker script among them. Arguments and errors of ``common_sources``."""
    own = (*COMMON, *_ON_CORE, *board.sources)
    return {
        **common_sources(network, model, target, name),
        **{file: firmware_file(file) for file in own},
        "board.h": board_header(board),
        f"{FIRMWARE}.ld": _script(target, board, name, [*own, "model.c"]),
    }


def build_firmware(
    network: Network, model: bytes, target: Target, board: Board, name: str, folder: Path
) -> Path:
    """The ELF image of a firmware, written into a folder with its sources.

    Raises:
        SecateurError: see ``common_sources``; or with the compiler's message, where it does not fit its memory too.
    """
    return link(firmware_sources(network, model, target, board, name), target, FIRMWARE, ENTRY, folder)


def on_board(target: Target, board: Board) -> Target:
    """A target with the memory of the board that stands in for it."""
    return target.model_copy(update=dict(board.memory))


def _script(target: Target, board: Board, name: str, own: list[str]) -> str:
    objects = [f"*{Path(file).stem}.o" for file in own if file.endswith(".c")]
    values: dict[str, object] = {
        "name": name,
        "firmware_code": " ".join(f"{file}(.text .text.* .rodata .rodata.*)" for file in objects),
        "firmware_bss": " ".join(f"{file}(.bss .bss.*)" for file in objects),
    }
    place = on_board(target, board)
    for key in ("flash_origin", "flash_bytes", "ram_origin", "ram_bytes"):
        values[key] = f"{getattr(place, key):#x}"
    script = firmware_file("image.ld")
    for key, value in values.items():
        script = script.replace(f"@{key}@", str(value))
    return script


def firmware_file(file: str) -> str:
    """The text of a source beside this module."""
    return (resources.files(__package__) / file).read_text(encoding="utf-8")


def _model_source(network: Network, model: bytes, name: str) -> str:
    layout = tensor_layout(network)
    if layout_of(HELLO).size + len(layout) > MAX_PAYLOAD:
        raise SecateurError(
            f"inputs and outputs are stated in one frame of {MAX_PAYLOAD} bytes",
            f"{len(network.inputs)} inputs and {len(network.outputs)} outputs take {len(layout)}",
            "Join some of them in the model.",
        )
    names = Names(name)
    functions, tables = [], []
    for side, tensors in (("input", network.inputs), ("output", network.outputs)):
        rows: list[str] = []
        for title, index in tensors.items():
            accessor, place = names.constant(side, title), len(rows)
            if side == "input" and title in network.states:
                continue
            functions.append(
                f"static uint8_t *{side}{place}(void)\n{{\n    return (uint8_t *){accessor}();\n}}\n"
            )
            rows.append(f"    {{{side}{place}, {tensor_bytes(network, index)}}},\n")
        tables.append(
            f"const struct model_tensor model_{side}s[] = {{\n{''.join(rows)}}};\n"
            f"const uint32_t model_{side}_count = {len(rows)};\n"
        )
    return (
        f"/* {name}, as serve.c wants it. Generated. */\n"
        f'#include "model.h"\n\n#include "{name}.h"\n\n'
        + "\n".join(functions)
        + "\n"
        + "\n".join(tables)
        + f"\nconst uint8_t model_sha256[32] = {{\n{_bytes(sha256(model).digest())}}};\n"
        f"const uint8_t model_layout[] = {{\n{_bytes(layout)}}};\n"
        "const uint32_t model_layout_bytes = sizeof model_layout;\n\n"
        f"void (*const model_step)(void) = {name}_step;\n"
        f"void (*const model_init)(void) = {f'{name}_init' if network.states else '0'};\n"
    )


def _bytes(content: bytes) -> str:
    items = [f"0x{byte:02x}" for byte in content]
    rows = (items[start : start + _PER_LINE] for start in range(0, len(items), _PER_LINE))
    return "".join(f"    {', '.join(row)},\n" for row in rows)
