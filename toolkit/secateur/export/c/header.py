"""The header of a generated network: names, shapes, scales, zero points, sizes, and how to call it."""

from secateur.export.c.names import Names
from secateur.operators.program import Program
from secateur.target.arena import Arena

_HELPERS = """\
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

_TENSOR = """\
/* {side} {title}: int8 {shape}, real = {scale} * (stored - {zero_point}) */
#define {macro}_SIZE {size}
#define {macro}_SCALE {scale}f
#define {macro}_ZERO_POINT ({zero_point})
static inline int8_t *{function}(void)
{{
    return (int8_t *){name}_arena + {offset};
}}
"""

_COPY = {
    "input": """\
static inline void {function}_write(const float real[{size}])
{{
    for (int32_t i = 0; i < {size}; i++) {{
        {function}()[i] = {name}_quantise(real[i], {macro}_SCALE, {macro}_ZERO_POINT);
    }}
}}
""",
    "output": """\
static inline void {function}_read(float real[{size}])
{{
    for (int32_t i = 0; i < {size}; i++) {{
        real[i] = {name}_dequantise({function}()[i], {macro}_SCALE, {macro}_ZERO_POINT);
    }}
}}
""",
}


def header(program: Program, arena: Arena, name: str) -> str:
    """``<name>.h``.

    Inputs and outputs lie in the arena, so a call copies nothing: write the inputs, call ``<name>_step``,
        read the outputs. Inputs are overwritten by the call.
    """
    guard = f"{name.upper()}_H"
    names = Names(name)
    parts = [
        f"/* {name}: an int8 network. Write its inputs, call {name}_step(), read its outputs.\n"
        f" * A call needs its inputs anew, and is not re-entrant. Generated: change the model instead. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n",
        f"/* Inputs, outputs and everything between: {arena.size_bytes} bytes; no plan has less than"
        f" {arena.lower_bound_bytes}. */\n"
        f"#define {name.upper()}_ARENA_BYTES {arena.size_bytes}\n"
        f"extern uint32_t {name}_arena[{name.upper()}_ARENA_BYTES / 4];\n",
        f"void {name}_step(void);\n",
        _HELPERS.format(name=name),
    ]
    sides = (
        ("input", program.inputs, program.network.inputs),
        ("output", program.outputs, program.network.outputs),
    )
    for side, buffers, tensors in sides:
        for title, buffer in buffers.items():
            tensor = program.network.tensors[tensors[title]]
            assert tensor.quantization is not None
            function = names.constant(side, title)
            fields = {
                "side": side,
                "title": title.encode("ascii", "replace").decode().replace("*/", "* /").replace("\\", "/"),
                "shape": list(tensor.shape),
                "scale": _float(tensor.quantization.scales[0]),
                "zero_point": tensor.quantization.zero_points[0],
                "macro": function.upper(),
                "function": function,
                "size": program.buffers[buffer].size_bytes,
                "name": name,
                "offset": arena.offsets[buffer],
            }
            parts.append(_TENSOR.format(**fields) + _COPY[side].format(**fields))
    return "\n".join([*parts, "#endif\n"])


def _float(value: float) -> str:
    """A C literal, without its suffix, that gives the same float back."""
    text = f"{value:.9g}"
    return text if any(mark in text for mark in ".en") else text + ".0"
