"""The same program carried out by CMSIS-NN: C that calls its functions where it has them, and ours elsewhere.

CMSIS-NN 4.0.0 as it ships in the ``bakenn`` wheel (Apache-2.0), found there and not copied. It has fully
connected layers, convolutions, depthwise ones and pools; all else is done by secateur's kernels on both sides, so
that answers can be compared byte for byte.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernels import KERNELS
from secateur.operators.program import Program, Step
from secateur.operators.requantise import multipliers
from secateur.target.arena import plan

FLAGS = ("-Os", "-DBAKENN_CMSIS_NN_BUILTIN_MEMORY=1")
"""The wheel's own shim copies byte by byte through volatile pointers; a decent memcpy is linked instead."""

_MEMORY = """\
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    for (; size >= 16; size -= 16, in += 16, out += 16) {
        const uint32_t a = ((const uint32_t *)(const void *)in)[0], b = ((const uint32_t *)(const void *)in)[1];
        const uint32_t c = ((const uint32_t *)(const void *)in)[2], d = ((const uint32_t *)(const void *)in)[3];
        __asm__ volatile("str %1, [%0]\\n\\tstr %2, [%0, #4]\\n\\tstr %3, [%0, #8]\\n\\tstr %4, [%0, #12]"
                         : : "r"(out), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
    }
    for (; size > 0; size--) {
        __asm__ volatile("strb %1, [%0]" : : "r"(out++), "r"((uint32_t)*in++) : "memory");
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    uint8_t *out = to;
    const uint32_t word = (uint32_t)(value & 0xFF) * 0x01010101u;
    for (; size >= 4; size -= 4, out += 4) {
        __asm__ volatile("str %1, [%0]" : : "r"(out), "r"(word) : "memory");
    }
    for (; size > 0; size--) {
        __asm__ volatile("strb %1, [%0]" : : "r"(out++), "r"(word) : "memory");
    }
    return to;
}

void __aeabi_memcpy(void *to, const void *from, size_t size) { memcpy(to, from, size); }
void __aeabi_memcpy4(void *to, const void *from, size_t size) { memcpy(to, from, size); }
void __aeabi_memset(void *to, size_t size, int value) { memset(to, value, size); }
void __aeabi_memset4(void *to, size_t size, int value) { memset(to, value, size); }
void __aeabi_memclr(void *to, size_t size) { memset(to, 0, size); }
void __aeabi_memclr4(void *to, size_t size) { memset(to, 0, size); }
"""


def vendored() -> Path | None:
    """Where the wheel keeps CMSIS-NN; None if it is not installed."""
    found = importlib.util.find_spec("bakenn")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / "backend" / "cmsis_nn" / "vendor"
    return folder if (folder / "cmsis_nn" / "Source").is_dir() else None


def compiler_flags(vendor: Path) -> tuple[str, ...]:
    """Flags and folders of headers; ``include`` is the folder of those that ``sources`` writes."""
    folders = ("include", vendor / "cmsis_nn" / "Include", vendor / "cmsis_core" / "Include")
    return (*FLAGS, "-w", *(f"-I{folder}" for folder in folders))


def library_sources(vendor: Path) -> list[str]:
    """CMSIS-NN's own files; the linker drops what is not called."""
    files = (vendor / "cmsis_nn" / "Source").rglob("*.c")
    return sorted(str(path) for path in files if path.name != "bakenn_cmsis_memory.c")


def with_its_scratch(program: Program, helium: bool) -> Program:
    """The program with the scratch buffers that CMSIS-NN asks for in place of ours, built with Helium or without."""
    buffers, steps = list(program.buffers), []
    for index, step in enumerate(program.steps):
        size = _scratch_bytes_helium(step) if helium else _scratch_bytes(step)
        writes = step.writes
        if step.kernel in _CALLS:
            for buffer in writes[1:]:
                buffers[buffer] = replace(buffers[buffer], size_bytes=0)
            if size:
                buffers.append(
                    replace(buffers[writes[0]], name="scratch", size_bytes=size, first=index, last=index)
                )
                writes = (writes[0], len(buffers) - 1)
            else:
                writes = writes[:1]
        steps.append(replace(step, writes=writes))
    return replace(program, steps=tuple(steps), buffers=tuple(buffers))


def sources(network: Network, program: Program, name: str) -> dict[str, str]:
    """``<name>.c`` with a function for each step, named ``<name>_do_<step>``, and the arena."""
    arena = plan(program.buffers)
    head = '#include "arm_nnfunctions.h"\n#include "secateur_kernels.h"\n\n'
    head += f"uint32_t {name}_arena[{arena.size_bytes // 4}];\n"
    parts, calls, files = [head], [], {}
    for index, step in enumerate(program.steps):
        reads = [f"(int8_t *){name}_arena + {arena.offsets[buffer]}" for buffer in step.reads]
        writes = [f"(int8_t *){name}_arena + {arena.offsets[buffer]}" for buffer in step.writes]
        if step.kernel in _CALLS:
            body = _CALLS[step.kernel](network, step, f"{name}_weights_{index}", reads, writes)
        else:
            arrays = KERNELS[step.kernel].pack(network, step)
            names = [f"{name}_weights_{index}_{place}" for place in range(len(arrays))]
            constants = "".join(
                _array("uint32_t" if array.values.dtype == np.uint32 else "int8_t", title, array.values)
                for title, array in zip(names, arrays)
            )
            body = (
                constants,
                f"secateur_{step.kernel}({KERNELS[step.kernel].call(step, names, reads, writes)});",
            )
            kernel = KERNELS[step.kernel]
            files |= {f"secateur_{step.kernel}.c": kernel.source()}
            files |= {f"secateur_{header}.h": text for header, text in kernel.headers().items()}
        parts.append(
            f"{body[0]}void {name}_do_{index}(void);\n"
            f"__attribute__((noinline)) void {name}_do_{index}(void)\n{{\n    {body[1]}\n}}\n"
        )
        calls.append(f"    {name}_do_{index}();\n")
    parts.append(f"void {name}_step(void);\nvoid {name}_step(void)\n{{\n{''.join(calls)}}}\n")
    own = {step.kernel for step in program.steps} - set(_CALLS)
    prototypes = "".join(f"{KERNELS[kernel].prototype};\n" for kernel in sorted(own))
    return files | {
        f"{name}.c": "\n".join(parts),
        "secateur_kernels.h": f"#include <stdint.h>\n{prototypes}",
        "memory.c": _MEMORY,
        "include/math.h": "",
    }


def _array(kind: str, name: str, values: np.ndarray) -> str:
    return f"const {kind} {name}[] = {{{', '.join(map(str, values.reshape(-1).tolist()))}}};\n"


def _layer(network: Network, step: Step, name: str, single: bool) -> tuple[str, int, int]:
    """Weights, bias, multipliers and shifts as arrays in C; offsets of source and target."""
    part = step.payload
    source, matrix, target = (network.tensors[index] for index in (part.source, part.weights, part.target))
    assert source.quantization is not None
    assert matrix.quantization is not None
    assert target.quantization is not None
    assert matrix.data is not None
    multiplier, shift = multipliers(
        source.quantization, matrix.quantization, target.quantization, step.rows, single
    )
    bias = network.tensors[part.bias].data if part.bias != -1 else np.zeros(step.rows, np.int32)
    assert bias is not None
    if step.kernel == "fully_connected" and len(matrix.quantization.scales) == 1:
        multiplier, shift = multiplier[:1], shift[:1]
    text = _array("int8_t", name, matrix.data) + _array("int32_t", f"{name}_bias", bias)
    text += _array("int32_t", f"{name}_multiplier", multiplier) + _array("int32_t", f"{name}_shift", shift)
    return text, -source.quantization.zero_points[0], target.quantization.zero_points[0]


def _scratch_bytes(step: Step) -> int:
    """As the library's ``…_get_buffer_size`` functions have it for cores with DSP instructions."""
    if step.kernel.startswith("conv"):
        window, channels = step.payload.window, step.payload.channels
        pointwise = (window.height, window.width) == (1, 1) and not window.padded
        return 0 if pointwise else 4 * channels * window.height * window.width
    if step.kernel.startswith("depthwise"):
        window = step.payload.window
        return 2 * step.rows * window.height * window.width
    return 4 * step.payload[1] if step.kernel == "average_pool" else 0


def _scratch_bytes_helium(step: Step) -> int:
    """The same for cores with Helium."""
    if step.kernel.startswith("conv"):
        window, channels = step.payload.window, step.payload.channels
        pointwise = (window.height, window.width) == (1, 1) and not window.padded
        return 0 if pointwise else 32 * -(-channels * window.height * window.width // 8)
    if step.kernel.startswith("depthwise"):
        return 4 * 124 * step.payload.window.height * step.payload.window.width
    return 0


def _dims(*sizes: int) -> str:
    return f"&(const cmsis_nn_dims){{{', '.join(map(str, sizes))}}}"


def _fully_connected(
    network: Network, step: Step, name: str, reads: list[str], writes: list[str]
) -> tuple[str, str]:
    constants, offset, zero_point = _layer(network, step, name, True)
    rows, columns = step.rows, step.columns
    matrix = network.tensors[step.payload.weights].quantization
    assert matrix is not None
    if len(matrix.scales) > 1:  # 4.0.0 has no fully connected layer with a scale for each row
        return constants, _convolve(
            *(
                "arm_convolve_wrapper_s8",
                f"cmsis_nn_conv_params){{{offset}, {zero_point}, {{1, 1}}, {{0, 0}}, {{1, 1}}",
            ),
            *((1, 1, 1, columns), (rows, 1, 1, columns), (1, 1, 1, rows), name, reads[0], writes[0], "NULL"),
        )
    call = (
        f"arm_fully_connected_s8(&(const cmsis_nn_context){{NULL, 0}}, "
        f"&(const cmsis_nn_fc_params){{{offset}, 0, {zero_point}, {{-128, 127}}}}, "
        f"&(const cmsis_nn_per_tensor_quant_params){{{name}_multiplier[0], {name}_shift[0]}}, "
        f"{_dims(1, 1, 1, columns)}, {reads[0]}, {_dims(columns, 1, 1, rows)}, {name}, "
        f"{_dims(1, 1, 1, rows)}, {name}_bias, {_dims(1, 1, 1, rows)}, {writes[0]});"
    )
    return constants, call


def _convolve(
    function: str,
    parameters: str,
    source: tuple[int, ...],
    window: tuple[int, ...],
    target: tuple[int, ...],
    name: str,
    read: str,
    write: str,
    scratch: str,
) -> str:
    return (
        f"{function}(&(const cmsis_nn_context){{{scratch}, 0}}, &(const {parameters}, {{-128, 127}}}}, "
        f"&(const cmsis_nn_per_channel_quant_params){{(int32_t *){name}_multiplier, (int32_t *){name}_shift}}, "
        f"{_dims(*source)}, {read}, {_dims(*window)}, {name}, {_dims(1, 1, 1, target[3])}, {name}_bias, "
        f"{_dims(*target)}, {write});"
    )


def _conv(network: Network, step: Step, name: str, reads: list[str], writes: list[str]) -> tuple[str, str]:
    part, window, deep = step.payload, step.payload.window, step.kernel.startswith("depthwise")
    constants, offset, zero_point = _layer(network, step, name, not deep and part.single)
    channels = step.rows if deep else part.channels
    tiles = f"{{{window.step_right}, {window.step_down}}}, {{{window.left}, {window.above}}}, {{1, 1}}"
    parameters = (
        f"cmsis_nn_dw_conv_params){{{offset}, {zero_point}, 1, {tiles}"
        if deep
        else f"cmsis_nn_conv_params){{{offset}, {zero_point}, {tiles}"
    )
    return constants, _convolve(
        f"arm_{'depthwise_conv' if deep else 'convolve'}_wrapper_s8",
        parameters,
        (1, window.source_height, window.source_width, channels),
        (1 if deep else step.rows, window.height, window.width, channels),
        (1, window.target_height, window.target_width, step.rows),
        *(name, reads[0], writes[0], writes[1] if len(writes) > 1 else "NULL"),
    )


def _pool(network: Network, step: Step, name: str, reads: list[str], writes: list[str]) -> tuple[str, str]:
    window, channels = step.payload[0].window, step.payload[1]
    function = "arm_avgpool_s8" if step.kernel == "average_pool" else "arm_max_pool_s8"
    scratch = writes[1] if len(writes) > 1 else "NULL"
    return "", (
        f"{function}(&(const cmsis_nn_context){{{scratch}, 0}}, &(const cmsis_nn_pool_params){{"
        f"{{{window.step_right}, {window.step_down}}}, {{{window.left}, {window.above}}}, {{-128, 127}}}}, "
        f"{_dims(1, window.source_height, window.source_width, channels)}, {reads[0]}, "
        f"{_dims(1, window.height, window.width, channels)}, "
        f"{_dims(1, window.target_height, window.target_width, channels)}, {writes[0]});"
    )


_CALLS = {
    "fully_connected": _fully_connected,
    "conv": _conv,
    "conv_wide": _conv,
    "depthwise": _conv,
    "depthwise_3x3": _conv,
    "depthwise_rows": _conv,
    "average_pool": _pool,
    "max_pool": _pool,
}
"""Kernel → its constants and its call of CMSIS-NN."""
