"""Quantisation at the task's edge: the byte that TFLM's QUANTIZE gives, halves included."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_micro.python.tflite_micro import runtime

from secateur.errors import SecateurError
from secateur.network import Network, Quantization, Tensor
from secateur.verify.quantized import dequantize, quantize

SIZE = 4096
TYPES = {
    "FLOAT32": schema.TensorType.FLOAT32,
    "INT8": schema.TensorType.INT8,
    "INT16": schema.TensorType.INT16,
}


def one_operator(kind, source, target, scale, zero_point):
    """A .tflite of one QUANTIZE or DEQUANTIZE."""
    model, graph, operator, code = (
        schema.ModelT(),
        schema.SubGraphT(),
        schema.OperatorT(),
        schema.OperatorCodeT(),
    )
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    code.version = 1
    graph.tensors = []
    for dtype in (source, target):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer, tensor.name = [SIZE], TYPES[dtype], 0, dtype
        if dtype != "FLOAT32":
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
        graph.tensors.append(tensor)
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = (
        3,
        [code],
        [graph],
        [schema.BufferT()],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def in_tflm(model, values):
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=16 * SIZE)
    interpreter.set_input(values, 0)
    interpreter.invoke()
    return interpreter.get_output(0)


def network(dtype, scale, zero_point, shape=(1, SIZE)):
    quantization = None if scale is None else Quantization((scale,), (zero_point,))
    return Network((Tensor("x", shape, dtype, quantization),), (), {"x": 0}, {"x": 0})


@given(
    exponent=st.floats(-12, 3),
    zero_point=st.integers(-128, 127),
    dtype=st.sampled_from(["INT8", "INT16"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_quantize_gives_the_bytes_of_tflm(exponent, zero_point, dtype, seed):
    scale = float(np.float32(2.0**exponent))
    zero_point = zero_point if dtype == "INT8" else 0
    reach = 1.2 * np.iinfo(dtype.lower()).max
    steps = np.random.default_rng(seed).uniform(-reach, reach, SIZE)
    steps[::2] = np.round(steps[::2]) + 0.5  # halves, as near as float32 has them
    steps[:4] = [1e30, -1e30, 0.0, -0.0] if dtype == "INT16" else [300, -300, 0.0, -0.0]
    steps = np.clip(steps, -1e6, 1e6)
    values = (steps * scale).astype(np.float32)
    expected = in_tflm(one_operator("QUANTIZE", "FLOAT32", dtype, scale, zero_point), values)
    ports = network(dtype, scale, zero_point)
    got = quantize(values[None], ports.inputs, ports, "x")
    assert got.dtype == expected.dtype
    assert np.array_equal(got[0], expected)


@given(exponent=st.floats(-12, 3), zero_point=st.integers(-128, 127))
@settings(max_examples=25, deadline=None)
def test_dequantize_gives_the_floats_of_tflm(exponent, zero_point):
    scale = float(np.float32(2.0**exponent))
    stored = np.resize(np.arange(-128, 128), SIZE).astype(np.int8)
    expected = in_tflm(one_operator("DEQUANTIZE", "INT8", "FLOAT32", scale, zero_point), stored)
    ports = network("int8", scale, zero_point)
    got = dequantize(stored[None], ports.outputs, ports, "x")
    assert got.dtype == np.float32
    assert np.array_equal(got[0], expected)
    assert np.array_equal(quantize(got, ports.inputs, ports, "x")[0], stored)


def test_halves_go_away_from_zero_and_nothing_below_them_does():
    ports = network("INT8", 1.0, 0, (1, 6))
    values = np.array([[0.5, -0.5, 1.5, -2.5, np.nextafter(np.float32(0.5), 0, dtype=np.float32), 200]])
    assert quantize(values, ports.inputs, ports, "x").tolist() == [[1, -1, 2, -3, 0, 127]]


def test_values_far_out_of_range_are_clamped():
    ports = network("INT8", 1e-30, 5, (1, 3))
    assert quantize(np.array([[1e30, -1e30, 0]]), ports.inputs, ports, "x").tolist() == [[127, -128, 5]]


def test_tensors_that_are_not_quantised_pass():
    ports = network("FLOAT32", None, 0, (1, 2))
    values = np.array([[0.25, -1]], np.float32)
    assert np.array_equal(quantize(values, ports.inputs, ports, "x"), values)
    assert np.array_equal(dequantize(values, ports.outputs, ports, "x"), values)


def test_wrong_names_and_shapes_are_named():
    ports = network("INT8", 1.0, 0, (1, 3))
    with pytest.raises(SecateurError, match="no 'y', it has x"):
        quantize(np.zeros((1, 3)), ports.inputs, ports, "y")
    with pytest.raises(SecateurError, match=r"'x' is \[5, 4\] .* the network's is \[1, 3\]"):
        quantize(np.zeros((5, 4)), ports.inputs, ports, "x")


def test_one_scale_per_channel_is_refused():
    ports = Network((Tensor("x", (1, 2), "int8", Quantization((1.0, 2.0), (0, 0))),), (), {"x": 0}, {})
    with pytest.raises(SecateurError, match="one scale each"):
        quantize(np.zeros((1, 2)), ports.inputs, ports, "x")
