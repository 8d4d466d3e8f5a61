"""TFLM in this process, for models known not to crash it: no probing, so hundreds of them take seconds."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from tflite_micro.python.tflite_micro import runtime


def run_reference(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """[calls, …] → [calls, values] of a network with one input and one output."""
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 19)
    shape = interpreter.get_input_details(0)["shape"]
    results = []
    for row in inputs:
        interpreter.set_input(row.reshape(shape), 0)
        interpreter.invoke()
        results.append(np.asarray(interpreter.get_output(0)).reshape(-1))
    return np.array(results)


def for_tflm(model: bytes) -> bytes:
    """SELECT, which TFLM lacks, as SELECT_V2, which computes the same."""
    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for code in tree.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.SELECT:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SELECT_V2
    for operator in (operator for graph in tree.subgraphs for operator in graph.operators):
        if operator.builtinOptionsType == schema.BuiltinOptions.SelectOptions:
            operator.builtinOptionsType = schema.BuiltinOptions.SelectV2Options
            operator.builtinOptions = schema.SelectV2OptionsT()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))
