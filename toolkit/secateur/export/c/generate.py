"""A network → C99: kernels, packed weights, a step function over a static arena, a header that states it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from secateur.errors import SecateurError
from secateur.export.c.header import header
from secateur.export.c.names import Names
from secateur.network import Network
from secateur.operators.kernel import Array
from secateur.operators.kernels import KERNELS
from secateur.operators.lower import lower
from secateur.operators.program import Loop, Program, Step
from secateur.target.arena import Arena, plan
from secateur.target.target import Target

_TYPES = """\
/* Values in an arena, which is declared as words: the compiler must not take them to lie elsewhere. */
#if defined(__GNUC__)
typedef int16_t __attribute__((__may_alias__)) secateur_int16;
typedef float __attribute__((__may_alias__)) secateur_float;
#else
typedef int16_t secateur_int16;
typedef float secateur_float;
#endif
"""
_WORDS_PER_LINE = 8
_BYTES_PER_LINE = 16


@dataclass(frozen=True, eq=False)
class _Constant:
    """A named array of the generated C."""

    name: str
    array: Array

    @property
    def declaration(self) -> str:
        kind = "uint32_t" if self.array.values.dtype == np.uint32 else "int8_t"
        return f"const {kind} {self.name}[{self.array.values.size}]"


def generate(network: Network, target: Target, name: str) -> dict[str, str]:
    """The C of a network.

    The text depends on the network, the name and the kernels that the target's core selects, on nothing else:
    the same .tflite gives the same bytes.

    Args:
        network: int8, with data.
        target: the board.
        name: prefix of every symbol but the kernels'; a C identifier.

    Returns:
        Relative path → content: ``<name>.h``, ``<name>.c``, ``<name>_weights.h``, ``<name>_weights.c``, and
        ``secateur_kernels.h`` with one ``secateur_<kernel>.c`` for each kernel that is used and the headers
        that these share.

    Raises:
        SecateurError: an operator that is not supported, or a name that C does not allow.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name.startswith("secateur"):
        raise SecateurError(
            "the name of a network is the prefix of its C symbols",
            f"got {name!r}",
            "Use letters, digits and _.",
        )
    program = lower(network, target.choice)
    arena = plan(program.buffers)
    names = Names(name)
    constants = {
        step.label: [
            _Constant(names.constant(array.kind, step.label), array)
            for array in KERNELS[step.kernel].pack(network, step)
        ]
        for step in program.steps
    }
    used = sorted({step.kernel for step in program.steps})
    headers = {name: text for kernel in used for name, text in KERNELS[kernel].headers().items()}
    flat = [constant for group in constants.values() for constant in group]
    return {
        f"{name}.h": header(program, arena, name),
        f"{name}.c": _step_source(program, arena, name, constants),
        f"{name}_weights.h": _weights_header(flat, name),
        f"{name}_weights.c": _weights_source(flat, name),
        "secateur_kernels.h": _kernels_header(),
        **{f"secateur_{header}.h": text for header, text in sorted(headers.items())},
        **{f"secateur_{kernel}.c": KERNELS[kernel].source() for kernel in used},
    }


def _step_source(program: Program, arena: Arena, name: str, constants: Mapping[str, list[_Constant]]) -> str:
    calls = []
    for index, step in enumerate(program.steps):
        arrays = [constant.name for constant in constants[step.label]]
        reads = [f"arena + {arena.offsets[buffer]}" for buffer in step.reads]
        writes = [f"arena + {arena.offsets[buffer]}" for buffer in step.writes]
        arguments = KERNELS[step.kernel].call(step, arrays, reads, writes)
        loop = next((loop for loop in program.loops if loop.first <= index <= loop.last), None)
        indent = " " * (4 if loop is None else 12)
        call = f"{indent}/* {_comment(step.label)}: {_shape(step)} */\n{indent}secateur_{step.kernel}({arguments});\n"
        if loop is not None:
            before, behind = _loop_source(loop)
            call = (before if index == loop.first else "") + call + (behind if index == loop.last else "")
        calls.append(call)
    body = "    int8_t *const arena = (int8_t *)" + f"{name}_arena;\n\n" + "".join(calls) if calls else ""
    return (
        f"/* {name}: the step function. Generated; change the model, not this file. */\n"
        f'#include "{name}.h"\n\n#include "{name}_weights.h"\n#include "secateur_kernels.h"\n\n'
        f"uint32_t {name}_arena[{name.upper()}_ARENA_BYTES / 4];\n\n"
        f"void {name}_step(void)\n{{\n{body}}}\n{_init_source(program, arena, name)}"
    )


def _loop_source(loop: Loop) -> tuple[str, str]:
    """C before and behind what is called for every patch."""
    heads = [
        f"for (int32_t {name} = 0; {name} < {result}; {name} += {patch}) {{\n"
        for name, result, patch in (
            ("down", loop.result_height, loop.height),
            ("right", loop.result_width, loop.width),
        )
    ]
    return f"    {heads[0]}        {heads[1]}", "        }\n    }\n"


def _init_source(program: Program, arena: Arena, name: str) -> str:
    """``<name>_init``, which sets the states to zero; nothing for a network without."""
    loops = []
    for title in program.network.states:
        tensor = program.network.tensors[program.network.inputs[title]]
        zero = tensor.quantization.zero_points[0] if tensor.quantization else 0
        buffer = program.inputs[title]
        size = program.buffers[buffer].size_bytes
        loops.append(
            f"    for (int32_t i = 0; i < {size}; i++) {{ /* {_comment(title)} */\n"
            f"        arena[{arena.offsets[buffer]} + i] = {zero};\n    }}\n"
        )
    if not loops:
        return ""
    start = f"    int8_t *const arena = (int8_t *){name}_arena;\n\n"
    return f"\nvoid {name}_init(void)\n{{\n{start}{''.join(loops)}}}\n"


def _shape(step: Step) -> str:
    if step.macs:
        return f"{step.columns} to {step.rows}"
    wide = step.kernel.endswith(("_16", "_float", "_values"))
    return f"{step.columns} {'values' if wide else 'bytes'}"


def _comment(text: str) -> str:
    """Text that cannot end a comment or leave ASCII."""
    return (
        text.encode("ascii", "replace").decode().replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")
    )


def _weights_header(constants: list[_Constant], name: str) -> str:
    guard = f"{name.upper()}_WEIGHTS_H"
    lines = "".join(f"extern {constant.declaration};\n" for constant in constants)
    return (
        f"/* {name}: constants of the kernels. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n"
        f"{lines}\n#endif\n"
    )


def _weights_source(constants: list[_Constant], name: str) -> str:
    title = f"/* {name}: constants of the kernels, in the layout stated in each. */\n"
    parts = [f'{title}#include "{name}_weights.h"\n']
    for constant in constants:
        values = constant.array.values
        if values.dtype == np.uint32:
            items, width = [f"0x{value:08x}u" for value in values.tolist()], _WORDS_PER_LINE
        else:
            items, width = [str(value) for value in values.tolist()], _BYTES_PER_LINE
        rows = [", ".join(items[start : start + width]) for start in range(0, len(items), width)]
        content = ",\n    ".join(rows)
        parts.append(
            f"/* {_comment(constant.array.comment)} */\n{constant.declaration} = {{\n    {content},\n}};\n"
        )
    return "\n".join(parts)


def _kernels_header() -> str:
    """The same for every network, so that networks can share kernels in one firmware."""
    lines = "\n".join(
        f"/* {_comment(kernel.summary)} */\n{kernel.prototype};\n" for kernel in KERNELS.values()
    )
    return (
        "/* Kernels of secateur's generated networks. */\n"
        "#ifndef SECATEUR_KERNELS_H\n#define SECATEUR_KERNELS_H\n\n"
        f"#include <stdint.h>\n\n{_TYPES}\n{lines}\n#endif\n"
    )
