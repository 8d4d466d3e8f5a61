"""The bundle for TFLM, against stand-ins for its headers."""

import shutil
import subprocess

import numpy as np
import pytest
from tflite_networks import Layer, network

from secateur.errors import SecateurError
from secateur.export.c.example import Recorded
from secateur.export.read import read_tflite
from secateur.export.tflm import bundle, resolver_method
from secateur.export.toolchain import write_sources

MODEL = network(7, [Layer(9, activation=1, zero_point=-3), Layer(3, tail=("TANH",))], 0)
CALL = Recorded({"observation": np.arange(7, dtype=np.int8)[None]}, {"action": np.zeros((1, 3), np.int8)})


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("FULLY_CONNECTED", "AddFullyConnected"),
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("MAX_POOL_2D", "AddMaxPool2D"),
        ("SELECT_V2", "AddSelectV2"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("PADV2", "AddPadV2"),
        ("ADD_N", "AddAddN"),
        ("RELU6", "AddRelu6"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
    ],
)
def test_methods(kind, method):
    """As micro_mutable_op_resolver.h of TFLM names them."""
    assert resolver_method(kind) == method


def test_custom_operators_are_refused():
    with pytest.raises(SecateurError, match="CUSTOM:mine"):
        resolver_method("CUSTOM:mine")


TFLM = {
    "tensorflow/lite/micro/micro_mutable_op_resolver.h": """
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
namespace tflite { template <unsigned N> struct MicroMutableOpResolver {
    TfLiteStatus AddFullyConnected() { return ++count > N ? kTfLiteError : kTfLiteOk; }
    TfLiteStatus AddTanh() { return ++count > N ? kTfLiteError : kTfLiteOk; }
    unsigned count = 0; }; }
""",
    "tensorflow/lite/micro/micro_interpreter.h": """
struct TfLiteTensor { struct { char *raw; } data; };
namespace tflite { struct Model; struct MicroInterpreter {
    template <class R> MicroInterpreter(const Model *, const R &, unsigned char *, unsigned long) {}
    TfLiteStatus AllocateTensors() { return kTfLiteOk; } TfLiteStatus Invoke() { return kTfLiteOk; }
    char bytes[64] = {}; TfLiteTensor one{{bytes}}, two{{bytes + 32}};
    TfLiteTensor *input(int) { return &one; } TfLiteTensor *output(int) { return &two; } }; }
""",
    "tensorflow/lite/schema/schema_generated.h": """
namespace tflite { inline const Model *GetModel(const void *p) { return static_cast<const Model *>(p); } }
""",
}


@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")
def test_it_compiles_and_holds_the_model(tmp_path):
    files = bundle(read_tflite(MODEL), MODEL, "gripper", 2048, CALL)
    assert "MicroMutableOpResolver<2>" in files["gripper_tflm.h"]
    assert "gripper_arena_bytes = 2048" in files["gripper_tflm.h"]
    dump = (
        '#include <cstdio>\n#include "gripper_model.h"\n'
        "int main() { std::fwrite(gripper_model, 1, gripper_model_bytes, stdout); return 0; }\n"
    )
    write_sources({**files, **TFLM, "dump.cc": dump}, tmp_path)
    for source in ("dump.cc", "example/main.cc"):
        command = [
            "c++",
            "-std=c++17",
            "-Wall",
            "-Wextra",
            "-I.",
            source,
            "gripper_model.cc",
            "-o",
            "program",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        output = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
        assert output == (MODEL if source == "dump.cc" else b"gripper: 0 outputs differ\n")
