"""The bundle for teams that stay with TensorFlow Lite for Microcontrollers: model, resolver, arena, example."""

from secateur.errors import SecateurError
from secateur.export.c.example import Recorded, c_array
from secateur.network import Network

_BYTES_PER_LINE = 16
_IRREGULAR = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t", "float32": "float"}


def resolver_method(kind: str) -> str:
    """An operator's method of ``MicroMutableOpResolver``: ``"CONV_2D"`` → ``"AddConv2D"``."""
    if kind.startswith("CUSTOM:"):
        raise SecateurError(
            "the operators of a bundle are TFLM's own", f"the model has {kind}", "Write the model without it."
        )
    parts = (part.upper() if part[:1].isdigit() else part.capitalize() for part in kind.split("_"))
    return "Add" + (_IRREGULAR.get(kind) or "".join(parts))


def bundle(network: Network, model: bytes, name: str, arena_bytes: int, call: Recorded) -> dict[str, str]:
    """The files of a bundle.

    Args:
        network: as read from the model.
        model: the .tflite.
        name: prefix of the files and symbols; a C identifier.
        arena_bytes: the smallest arena that the reference interpreter ran the model in.
        call: for the example.

    Returns:
        Relative path → content: model array, resolver, arena size, and an example that replays the call.

    Raises:
        SecateurError: an operator that is not TFLM's own.
    """
    kinds = sorted({operator.kind for operator in network.operators})
    return {
        f"{name}_model.h": _model_header(name, len(model)),
        f"{name}_model.cc": _model_source(name, model),
        f"{name}_tflm.h": _resolver(name, kinds, arena_bytes),
        "example/main.cc": _example(network, name, call),
    }


def _model_header(name: str, size: int) -> str:
    guard = f"{name.upper()}_MODEL_H"
    return (
        f"// The .tflite of {name}, {size} bytes. Generated.\n#ifndef {guard}\n#define {guard}\n\n"
        f"#include <cstddef>\n\nextern const unsigned char {name}_model[];\n"
        f"constexpr std::size_t {name}_model_bytes = {size};\n\n#endif\n"
    )


def _model_source(name: str, model: bytes) -> str:
    items = [f"0x{byte:02x}" for byte in model]
    rows = (
        ", ".join(items[start : start + _BYTES_PER_LINE]) for start in range(0, len(items), _BYTES_PER_LINE)
    )
    content = ",\n    ".join(rows)
    return (
        f'#include "{name}_model.h"\n\n'
        f"alignas(16) const unsigned char {name}_model[{name}_model_bytes] = {{\n    {content},\n}};\n"
    )


def _resolver(name: str, kinds: list[str], arena_bytes: int) -> str:
    guard = f"{name.upper()}_TFLM_H"
    adds = "".join(
        f"    if (resolver.{resolver_method(kind)}() != kTfLiteOk) {{\n        return kTfLiteError;\n    }}\n"
        for kind in kinds
    )
    return (
        f"// What TFLM needs to run {name}: its operators, none but these, and its arena. Generated.\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <cstddef>\n\n"
        f'#include "{name}_model.h"\n#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n\n'
        "// The smallest that the reference interpreter runs in on a 64-bit host. A 32-bit core needs less for\n"
        "// pointers, kernels with scratch buffers (CMSIS-NN) may need more: check arena_used_bytes() there.\n"
        f"constexpr std::size_t {name}_arena_bytes = {arena_bytes};\n\n"
        f"using {name}_resolver = tflite::MicroMutableOpResolver<{len(kinds)}>;\n\n"
        f"inline TfLiteStatus {name}_add_operators({name}_resolver &resolver)\n{{\n{adds}    return kTfLiteOk;\n}}\n\n"
        "#endif\n"
    )


def _example(network: Network, name: str, call: Recorded) -> str:
    arrays, fills, checks = [], [], []
    for place, (title, index) in enumerate(network.inputs.items()):
        kind, values = _TYPES[network.tensors[index].dtype], call.inputs[title]
        arrays.append(f"const {kind} input{place}[] = {{\n    {c_array(values)},\n}};\n")
        fills.append(
            f"    std::memcpy(interpreter.input({place})->data.raw, input{place}, sizeof input{place});"
            f"  // {_comment(title)}\n"
        )
    for place, (title, index) in enumerate(network.outputs.items()):
        kind, values = _TYPES[network.tensors[index].dtype], call.outputs[title]
        arrays.append(f"const {kind} output{place}[] = {{\n    {c_array(values)},\n}};\n")
        checks.append(
            f"    different += std::memcmp(interpreter.output({place})->data.raw, output{place}, sizeof output{place})"
            f" != 0;  // {_comment(title)}\n"
        )
    return f"""\
// Runs one recorded call of {name} in TFLM and compares the answer byte for byte. Generated.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "{name}_tflm.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {{
alignas(16) unsigned char arena[{name}_arena_bytes];

{"".join(arrays)}}}  // namespace

int main()
{{
    {name}_resolver resolver;
    if ({name}_add_operators(resolver) != kTfLiteOk) {{
        return 1;
    }}
    tflite::MicroInterpreter interpreter(tflite::GetModel({name}_model), resolver, arena, sizeof arena);
    if (interpreter.AllocateTensors() != kTfLiteOk) {{
        return 1;
    }}
{"".join(fills)}    if (interpreter.Invoke() != kTfLiteOk) {{
        return 1;
    }}
    int different = 0;
{"".join(checks)}    std::printf("{name}: %d outputs differ\\n", different);
    return different != 0;
}}
"""


def _comment(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\\", "/").replace("\n", " ")
