"""What passes over a .tflite share: the objects are those of ``ai_edge_litert.tools.flatbuffer_utils``."""

from typing import Any


def operator_kind(model: Any, operator: Any) -> str:
    """The builtin operator's name, as the schema has it."""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)


def drop_unused(model: Any, graph: Any) -> None:
    """Takes tensors that nothing uses out of a graph; those behind them move up, and what only they held is emptied."""
    used = {int(index) for operator in graph.operators for index in (*operator.inputs, *operator.outputs)}
    used |= {int(index) for index in (*graph.inputs, *graph.outputs)}
    place = {-1: -1}
    for index in sorted(used - {-1}):
        place[index] = len(place) - 1
    gone = {tensor.buffer for index, tensor in enumerate(graph.tensors) if index not in place}
    graph.tensors = [graph.tensors[index] for index in place if index >= 0]

    def moved(indices: Any) -> list[int]:
        return [place[int(index)] for index in indices]

    for operator in graph.operators:
        operator.inputs, operator.outputs = moved(operator.inputs), moved(operator.outputs)
    graph.inputs, graph.outputs = moved(graph.inputs), moved(graph.outputs)
    for signature in model.signatureDefs or ():
        if model.subgraphs[signature.subgraphIndex] is graph:
            for item in (*signature.inputs, *signature.outputs):
                item.tensorIndex = place[int(item.tensorIndex)]
    for buffer in gone - {tensor.buffer for each in model.subgraphs for tensor in each.tensors}:
        model.buffers[buffer].data = None
