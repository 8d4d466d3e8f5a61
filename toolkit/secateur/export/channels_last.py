"""Cameras give images as height, width, channels; so does LiteRT compute. torch's order would be transposed twice.

Where the model flattens a feature map, the converter leaves one TRANSPOSE back to torch's order for the sake of the
layer behind. The columns of that layer's weights are put into the other order instead.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from secateur.export.flatbuffer import drop_unused, operator_kind

_TO_TORCH = (0, 3, 1, 2)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of torch's order ``[batch, channels, height, width]`` looks like a camera's image."""
    return len(shape) == 4 and shape[1] <= 4 < min(shape[2:])


def fold_flatten(model: bytes) -> bytes:
    """TRANSPOSE → RESHAPE → FULLY_CONNECTED without the TRANSPOSE, in every subgraph; else unchanged."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    found = [match for graph in parsed.subgraphs for match in _matches(parsed, graph)]
    shapes: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    for match in found:
        shapes[match.buffer].add(match.shape)
    folded = {buffer for buffer, seen in shapes.items() if len(seen) == 1}
    uses = _uses(parsed)
    folded = {buffer for buffer in folded if uses[buffer] == sum(match.buffer == buffer for match in found)}
    if not folded:
        return model
    for buffer in folded:
        _, channels, height, width = next(iter(shapes[buffer]))
        data = np.frombuffer(bytes(parsed.buffers[buffer].data), np.float32)
        ordered = data.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        parsed.buffers[buffer].data = np.frombuffer(np.ascontiguousarray(ordered).tobytes(), np.uint8)
    for match in found:
        if match.buffer in folded:
            match.reshape.inputs = [match.transpose.inputs[0], *list(match.reshape.inputs)[1:]]
            match.graph.operators.remove(match.transpose)
            drop_unused(parsed, match.graph)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


class _Match:
    """One TRANSPOSE → RESHAPE → FULLY_CONNECTED, the weights' buffer, and torch's shape of the feature map."""

    def __init__(self, graph: Any, transpose: Any, reshape: Any, buffer: int, shape: tuple[int, ...]) -> None:
        self.graph, self.transpose, self.reshape = graph, transpose, reshape
        self.buffer, self.shape = buffer, shape


def _matches(model: Any, graph: Any) -> list[_Match]:
    from ai_edge_litert import schema_py_generated as schema

    readers: dict[int, list[Any]] = defaultdict(list)
    for operator in graph.operators:
        for index in operator.inputs:
            readers[int(index)].append(operator)
    kept = {int(index) for index in graph.outputs}

    def only_reader(operator: Any, wanted: str) -> Any:
        output = int(operator.outputs[0])
        followers = readers[output]
        alone = len(followers) == 1 and output not in kept and int(followers[0].inputs[0]) == output
        return followers[0] if alone and operator_kind(model, followers[0]) == wanted else None

    found = []
    for operator in graph.operators:
        if operator_kind(model, operator) != "TRANSPOSE":
            continue
        order = model.buffers[graph.tensors[operator.inputs[1]].buffer].data
        if order is None or tuple(np.frombuffer(bytes(order), np.int32)) != _TO_TORCH:
            continue
        reshape = only_reader(operator, "RESHAPE")
        layer = only_reader(reshape, "FULLY_CONNECTED") if reshape else None
        if layer is None:
            continue
        shape = tuple(int(size) for size in graph.tensors[operator.outputs[0]].shape)
        weights = graph.tensors[layer.inputs[1]]
        whole = int(weights.shape[1]) == int(np.prod(shape[1:]))
        if (
            whole
            and weights.type == schema.TensorType.FLOAT32
            and model.buffers[weights.buffer].data is not None
        ):
            found.append(_Match(graph, operator, reshape, int(weights.buffer), shape))
    return found


def _uses(model: Any) -> dict[int, int]:
    """Buffer → how many operators read it, over all subgraphs."""
    counts: dict[int, int] = defaultdict(int)
    for graph in model.subgraphs:
        for operator in graph.operators:
            for index in operator.inputs:
                if index >= 0:
                    counts[int(graph.tensors[index].buffer)] += 1
    return counts
