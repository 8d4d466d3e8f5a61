"""Element-wise operators over all 256 bytes, by TFLM itself: cut out as a .tflite and run."""

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from secateur.errors import SecateurError
from secateur.network import Network, Operator, Tensor

_ARENA_BYTES = 1 << 16
_TENSOR_TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "float32": schema.TensorType.FLOAT32,
    "bool": schema.TensorType.BOOL,
}
_OPTIONS = {
    "ADD": "AddOptions",
    "DIV": "DivOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MUL": "MulOptions",
    "SUB": "SubOptions",
}
"""Operators whose options change what they compute → the schema's name of these."""

_SAME = {"SELECT": "SELECT_V2"}
"""Operators that TFLM lacks → what computes the same from the same inputs."""


def evaluate_chain(network: Network, source: int, operators: Sequence[int]) -> np.ndarray:
    """What the chain makes of every int8.

    Args:
        network: its data is not needed, only quantisation and options.
        source: the tensor that the chain starts from.
        operators: network operators in order, each reading what those before wrote, and constants that are
            the same everywhere.

    Returns:
        int8 [256]: of −128 … 127.

    Raises:
        SecateurError: TFLM does not run the chain.
    """
    from tflite_micro.python.tflite_micro import runtime

    model = _model(network, source, operators)
    chain = " → ".join(network.operators[index].kind for index in operators)
    try:
        interpreter = runtime.Interpreter.from_bytes(model, arena_size=_ARENA_BYTES)
        interpreter.set_input(np.arange(-128, 128, dtype=np.int8).reshape(1, 256), 0)
        interpreter.invoke()
        return np.asarray(interpreter.get_output(0)).reshape(256).astype(np.int8)
    except (RuntimeError, ValueError) as error:
        raise SecateurError(
            "a chain of element-wise operators is computed by the reference runtime (TFLM)",
            f"it rejects {chain} after {network.tensors[source].name!r} ({str(error).strip()})",
            "Write the activation with operators that TFLM has: TANH, LOGISTIC, RELU, HARD_SWISH …",
        ) from error


def _model(network: Network, source: int, operators: Sequence[int]) -> bytes:
    """The operators alone, over tensors [1, 256] and constants, of which one element counts."""
    chain = [network.operators[index] for index in operators]
    places, graph, model = {source: 0}, schema.SubGraphT(), schema.ModelT()
    model.buffers = [schema.BufferT()]
    graph.tensors = [_tensor(network.tensors[source])]
    kinds = sorted({_SAME.get(operator.kind, operator.kind) for operator in chain})
    graph.operators = []
    for operator in chain:
        for tensor in (*operator.inputs, *operator.outputs):
            if tensor not in places:
                places[tensor] = len(graph.tensors)
                graph.tensors.append(_tensor(network.tensors[tensor]))
                data = network.tensors[tensor].data
                if data is not None:
                    graph.tensors[-1].shape, graph.tensors[-1].buffer = [1], len(model.buffers)
                    model.buffers.append(schema.BufferT())
                    model.buffers[-1].data = np.frombuffer(data.reshape(-1)[:1].tobytes(), np.uint8)
        code = kinds.index(_SAME.get(operator.kind, operator.kind))
        graph.operators.append(_operator(operator, code, places))
    graph.inputs, graph.outputs = [0], [places[chain[-1].outputs[0]]]
    model.version = 3
    model.operatorCodes = [_code(kind) for kind in kinds]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _code(kind: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 1
    return code


def _tensor(tensor: Tensor) -> Any:
    if tensor.dtype not in _TENSOR_TYPES:
        raise SecateurError(
            f"element-wise chains run over {', '.join(_TENSOR_TYPES)}",
            f"{tensor.name!r} is {tensor.dtype}",
            "Quantise to int8.",
        )
    entry = schema.TensorT()
    entry.name, entry.shape, entry.type, entry.buffer = tensor.name, [1, 256], _TENSOR_TYPES[tensor.dtype], 0
    if tensor.quantization is not None:
        entry.quantization = schema.QuantizationParametersT()
        entry.quantization.scale = list(tensor.quantization.scales[:1])
        entry.quantization.zeroPoint = list(tensor.quantization.zero_points[:1])
    return entry


def _operator(operator: Operator, code: int, places: Mapping[int, int]) -> Any:
    entry = schema.OperatorT()
    entry.opcodeIndex = code
    entry.inputs = [places[tensor] for tensor in operator.inputs]
    entry.outputs = [places[tensor] for tensor in operator.outputs]
    if operator.kind in _OPTIONS:
        options = getattr(schema, _OPTIONS[operator.kind] + "T")()
        for key, value in operator.options.items():
            setattr(options, key, value)
        entry.builtinOptions = options
        entry.builtinOptionsType = getattr(schema.BuiltinOptions, _OPTIONS[operator.kind])
    return entry
