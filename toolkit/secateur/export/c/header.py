"""The header of a generated network: names, shapes, scales, zero points, sizes, and how to call it."""

from math import prod

from secateur.export.c.example import C_TYPES
from secateur.export.c.names import Names
from secateur.network import Tensor
from secateur.operators.program import Program
from secateur.target.arena import Arena

_INT8 = """\
/* The nearest stored value of a real one; saturates, and takes NaN for the zero point. */
static inline int8_t {name}_quantise(float real, float scale, int32_t zero_point)
{{
    const float scaled = real / scale;
    int32_t value = zero_point;
    if (scaled >= 512.0f) {{
        value = 127;
    }} else if (scaled <= -512.0f) {{
        value = -128;
    }} else if (scaled > -512.0f) {{
        const int32_t whole = (int32_t)scaled;
        const float rest = scaled - (float)whole;
        value += whole + (rest >= 0.5f) - (rest <= -0.5f);
    }}
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}}

static inline float {name}_dequantise(int8_t stored, float scale, int32_t zero_point)
{{
    return scale * (float)(stored - zero_point);
}}
"""

_INT16 = """\
/* The nearest int16 of a real value; its zero point is zero. Saturates, and takes NaN for zero. */
static inline int16_t {name}_quantise_16(float real, float scale)
{{
    const float scaled = real / scale;
    int32_t value = 0;
    if (scaled >= 65536.0f) {{
        value = 32767;
    }} else if (scaled <= -65536.0f) {{
        value = -32768;
    }} else if (scaled > -65536.0f) {{
        const int32_t whole = (int32_t)scaled;
        const float rest = scaled - (float)whole;
        value = whole + (rest >= 0.5f) - (rest <= -0.5f);
    }}
    return (int16_t)(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}}
"""

_START = "Call {name}_init() at the start of an episode, and then at every step:\n * "

_INIT = """\

/* States, which a step leaves behind for the next, become zero. Their inputs are written by nobody else. */
void {name}_init(void);
"""

_HELPERS = {"int8": _INT8, "int16": _INT16, "float32": ""}
"""Type of inputs and outputs → functions between them and real numbers."""

_TENSOR = """\
/* {side} {title}: {dtype} {shape}{real} */
#define {macro}_SIZE {size}
"""

_SCALE = """\
#define {macro}_SCALE {scale}f
#define {macro}_ZERO_POINT ({zero_point})
"""

_PLACE = {
    "int8": """\
static inline int8_t *{function}(void)
{{
    return (int8_t *){name}_arena + {offset};
}}
""",
    "other": """\
static inline {ctype} *{function}(void)
{{
    return ({ctype} *)(void *)((int8_t *){name}_arena + {offset});
}}
""",
}

_COPY = {
    "input": """\
static inline void {function}_write(const float real[{size}])
{{
    for (int32_t i = 0; i < {size}; i++) {{
        {function}()[i] = {stored};
    }}
}}
""",
    "output": """\
static inline void {function}_read(float real[{size}])
{{
    for (int32_t i = 0; i < {size}; i++) {{
        real[i] = {read};
    }}
}}
""",
}

_STORED = {
    "int8": "{name}_quantise(real[i], {macro}_SCALE, {macro}_ZERO_POINT)",
    "int16": "{name}_quantise_16(real[i], {macro}_SCALE)",
    "float32": "real[i]",
}
_READ = {
    "int8": "{name}_dequantise({function}()[i], {macro}_SCALE, {macro}_ZERO_POINT)",
    "int16": "{macro}_SCALE * (float){function}()[i]",
    "float32": "{function}()[i]",
}


def header(program: Program, arena: Arena, name: str) -> str:
    """``<name>.h``.

    Inputs and outputs lie in the arena, so a call copies nothing: write the inputs, call ``<name>_step``,
        read the outputs. Inputs are overwritten by the call.
    """
    guard = f"{name.upper()}_H"
    names = Names(name)
    sides = (
        ("input", program.inputs, program.network.inputs),
        ("output", program.outputs, program.network.outputs),
    )
    tensors, states = program.network.tensors, program.network.states
    kinds = sorted({tensors[index].dtype for _, _, ends in sides for index in ends.values()})
    article = "a" if kinds[0] == "float32" else "an"
    parts = [
        f"/* {name}: {article} {' and '.join(kinds)} network. {_START.format(name=name) if states else ''}"
        f"Write its inputs, call {name}_step(), read its outputs.\n"
        f" * A call needs its inputs anew, and is not re-entrant. Generated: change the model instead. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n",
        f"/* Inputs, outputs and everything between: {arena.size_bytes} bytes; no plan has less than"
        f" {arena.lower_bound_bytes}. */\n"
        f"#define {name.upper()}_ARENA_BYTES {arena.size_bytes}\n"
        f"extern uint32_t {name}_arena[{name.upper()}_ARENA_BYTES / 4];\n",
        f"void {name}_step(void);\n" + (_INIT.format(name=name) if states else ""),
        *(_HELPERS[kind].format(name=name) for kind in kinds if _HELPERS[kind]),
    ]
    for side, buffers, ends in sides:
        for title, buffer in buffers.items():
            kept = side == "input" and title in states
            parts.append(_end(side, title, tensors[ends[title]], names, arena.offsets[buffer], kept))
    return "\n".join([*parts, "#endif\n"])


def _end(side: str, title: str, tensor: Tensor, names: Names, offset: int, kept: bool) -> str:
    """C of one input or output: its size, its scale, where it lies, and between it and real numbers.

    A state that is kept is written by nobody; where it lies is stated all the same.
    """
    function, scales = names.constant(side, title), tensor.quantization
    fields = {
        "side": "state" if kept else side,
        "title": title.encode("ascii", "replace").decode().replace("*/", "* /").replace("\\", "/"),
        "dtype": tensor.dtype,
        "ctype": C_TYPES[tensor.dtype],
        "shape": list(tensor.shape),
        "macro": function.upper(),
        "function": function,
        "size": prod(tensor.shape),
        "name": names.prefix,
        "offset": offset,
        "real": "",
    }
    if scales is not None:
        fields |= {"scale": _float(scales.scales[0]), "zero_point": scales.zero_points[0]}
        fields["real"] = ", real = {scale} * (stored - {zero_point})".format(**fields)
    fields["stored"], fields["read"] = (each[tensor.dtype].format(**fields) for each in (_STORED, _READ))
    place = _PLACE.get(tensor.dtype, _PLACE["other"])
    texts = (_TENSOR, _SCALE if scales is not None else "", place, "" if kept else _COPY[side])
    return "".join(text.format(**fields) for text in texts)


def _float(value: float) -> str:
    """A C literal, without its suffix, that gives the same float back."""
    text = f"{value:.9g}"
    return text if any(mark in text for mark in ".en") else text + ".0"
