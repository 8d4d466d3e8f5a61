"""What depends on no input is computed once, here, and not at every call on the device.

The queries of an ACT decoder's first attention, say, are learnt: converters fold the layers that make them, and leave
the attention itself. Values come of LiteRT running those operators alone.
"""

from typing import Any

import numpy as np

from secateur.export.flatbuffer import drop_unused, operator_kind

_STATEFUL = (
    "CALL_ONCE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "RANDOM_UNIFORM",
    "RANDOM_STANDARD_NORMAL",
)
"""Operators that give something else the next time."""


def fold_constants(model: bytes) -> bytes:
    """The model without operators that read constants alone, in every subgraph where it grows no larger by that.

    Args:
        model: a float32 .tflite.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    folded = [_fold(parsed, graph) for graph in parsed.subgraphs]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed)) if any(folded) else model


def _fold(model: Any, graph: Any) -> bool:
    """Whether anything was folded."""
    known = {
        index for index, tensor in enumerate(graph.tensors) if model.buffers[tensor.buffer].data is not None
    }
    constant = set(known)
    fixed, moving = list[Any](), list[Any]()
    for operator in graph.operators:
        given = {int(index) for index in operator.inputs if index >= 0}
        alone = bool(given) and given <= constant and operator_kind(model, operator) not in _STATEFUL
        (fixed if alone else moving).append(operator)
        constant.update(map(int, operator.outputs) if alone else ())
    asked = {int(index) for operator in moving for index in operator.inputs} | set(map(int, graph.outputs))
    wanted = sorted(asked & (constant - known))
    if not wanted or set(map(int, graph.outputs)) & set(wanted):  # that output is refused elsewhere, by name
        return False
    values = _values(model, graph, fixed, wanted)
    read = {int(index) for operator in fixed for index in operator.inputs if index >= 0} & known
    held = {tensor.buffer for other in model.subgraphs if other is not graph for tensor in other.tensors}
    held |= {graph.tensors[index].buffer for index in asked if index >= 0}
    freed = {graph.tensors[index].buffer for index in read} - held
    if sum(value.nbytes for value in values) > sum(len(model.buffers[buffer].data) for buffer in freed):
        return False
    for index, value in zip(wanted, values):
        model.buffers.append(_buffer(value))
        graph.tensors[index].buffer, graph.tensors[index].shape = len(model.buffers) - 1, list(value.shape)
    graph.operators = moving
    drop_unused(model, graph)
    return True


def _buffer(value: np.ndarray) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    return buffer


def _values(model: Any, graph: Any, operators: list[Any], wanted: list[int]) -> list[np.ndarray]:
    """Some results of operators of a graph that read constants alone."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.tools import flatbuffer_utils

    alone, part = schema.ModelT(), schema.SubGraphT()
    part.tensors, part.operators, part.inputs, part.outputs = graph.tensors, operators, [], wanted
    alone.version, alone.subgraphs, alone.buffers = model.version, [part], model.buffers
    alone.operatorCodes = model.operatorCodes
    data = bytes(flatbuffer_utils.convert_object_to_bytearray(alone))
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]
