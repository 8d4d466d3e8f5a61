"""A .tflite's bytes → ``Network``. Trusts nothing in the file: what does not add up is one SecateurError.

The schema's accessors are read lazily, field by field, so that a damaged length costs an error and not
minutes.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from secateur.errors import SecateurError
from secateur.export.states import ENTRY
from secateur.network import Network, Operator, Quantization, Tensor

_FILE_IDENTIFIER = b"TFL3"
MAX_FILE_BYTES = (1 << 31) - 1
"""What offsets of a flatbuffer reach."""

_MAX_ELEMENTS = 1 << 28

_DTYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.INT64: "int64",
    schema.TensorType.BOOL: "bool",
}

_KINDS = {code: kind for kind, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_OPTIONS = {code: name for name, code in vars(schema.BuiltinOptions).items() if isinstance(code, int)}
_OPTIONS_BY_KIND = {name.removesuffix("Options").lower(): name for name in _OPTIONS.values()}
_SHARED_OPTIONS = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "L2_POOL_2D", "MAX_POOL_2D"), "Pool2DOptions"),
    **dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM"), "ReducerOptions"),
}
"""Operators whose table of options has another name than their own."""


def read_tflite(data: bytes) -> Network:
    """The first subgraph of a .tflite, the one that microcontroller runtimes run.

    Args:
        data: the whole file. Weights kept behind the flatbuffer (``Buffer.offset``) are found too.

    Returns:
        The network, inputs and outputs in the file's order, named by the signature if there is one and by
        their tensors if not.

    Raises:
        SecateurError: the file is damaged, or not a .tflite.
    """
    try:
        return _read(bytes(data))
    except SecateurError:
        raise
    except Exception as error:  # flatbuffers, struct and numpy raise a dozen kinds on damaged offsets
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _damaged(seen: str) -> SecateurError:
    return SecateurError(
        "a .tflite is a whole, consistent flatbuffer",
        seen,
        "Convert the model again, or copy the file again.",
    )


def _read(data: bytes) -> Network:
    if len(data) > MAX_FILE_BYTES:
        raise _damaged(f"{len(data):,} bytes, of at most {MAX_FILE_BYTES:,}")
    if len(data) < 16 or data[4:8] != _FILE_IDENTIFIER:
        raise _damaged(f"{len(data)} bytes without the identifier {_FILE_IDENTIFIER.decode()} at offset 4")
    model = schema.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() < 1:
        raise _damaged("no subgraph")
    graph = model.Subgraphs(0)
    limit = len(data) // 4
    for what, count in (
        ("tensors", graph.TensorsLength()),
        ("operators", graph.OperatorsLength()),
        ("buffers", model.BuffersLength()),
    ):
        if count > limit:
            raise _damaged(f"{count} {what} in {len(data)} bytes")
    tensors = tuple(
        _tensor(model, graph.Tensors(index), index, data) for index in range(graph.TensorsLength())
    )
    operators = tuple(
        _operator(model, graph.Operators(index), len(tensors)) for index in range(graph.OperatorsLength())
    )
    inputs = _indices(graph.InputsAsNumpy(), len(tensors), "graph input")
    outputs = _indices(graph.OutputsAsNumpy(), len(tensors), "graph output")
    if not inputs or not outputs:
        raise _damaged("a graph without inputs or without outputs")
    _check_order(tensors, operators, inputs, outputs)
    names_in, names_out = _signature(model)
    read = _named(inputs, names_in, tensors, "input")
    written = _named(outputs, names_out, tensors, "output")
    return Network(tensors, operators, read, written, _states(model, read, written, data))


def _tensor(model: Any, entry: Any, index: int, data: bytes) -> Tensor:
    name = (entry.Name() or b"").decode("utf-8", "replace") or f"tensor_{index}"
    if entry.Type() not in _DTYPES:
        raise SecateurError(
            "tensors are float32, float16, bool or integers",
            f"tensor {name!r} has type code {entry.Type()}",
            "Quantise the model to int8.",
        )
    dtype = _DTYPES[entry.Type()]
    shape = tuple(int(size) for size in _vector(entry.ShapeAsNumpy()))
    elements = math.prod(shape)
    if any(size < 1 for size in shape) or elements > _MAX_ELEMENTS:
        raise _damaged(f"tensor {name!r} has shape {shape}")
    content = _content(model, entry.Buffer(), data)
    array = None
    if content:
        if len(content) != elements * np.dtype(dtype).itemsize:
            raise _damaged(f"tensor {name!r} of shape {shape} and type {dtype} holds {len(content)} bytes")
        array = np.frombuffer(content, dtype).reshape(shape)
    return Tensor(
        name, shape, dtype, _quantization(entry.Quantization(), name, shape), array is not None, array
    )


def _content(model: Any, index: int, data: bytes) -> bytes:
    if not 0 <= index < model.BuffersLength():
        raise _damaged(f"buffer {index} of {model.BuffersLength()}")
    buffer = model.Buffers(index)
    if buffer.Offset() > 1:  # kept behind the flatbuffer; 0 and 1 mean that it is not
        end = buffer.Offset() + buffer.Size()
        if end > len(data):
            raise _damaged(f"buffer {index} ends at {end}, the file at {len(data)}")
        return data[buffer.Offset() : end]
    content = buffer.DataAsNumpy()
    return b"" if isinstance(content, int) else content.tobytes()


def _quantization(entry: Any, name: str, shape: tuple[int, ...]) -> Quantization | None:
    if entry is None or entry.ScaleLength() == 0:
        return None
    scales = tuple(float(scale) for scale in _vector(entry.ScaleAsNumpy()))
    zero_points = tuple(int(point) for point in _vector(entry.ZeroPointAsNumpy()))
    if not zero_points:
        return None  # for TFLM too, such a tensor is not quantised
    if len(zero_points) == 1:
        zero_points *= len(scales)
    axis = entry.QuantizedDimension()
    if not all(math.isfinite(scale) and scale >= 0 for scale in scales) or len(zero_points) != len(scales):
        raise _damaged(
            f"tensor {name!r} has {len(scales)} scales, some not finite, or {len(zero_points)} zero points"
        )
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise _damaged(f"tensor {name!r} of shape {shape} has {len(scales)} scales along axis {axis}")
    return Quantization(scales, zero_points, axis)


def _operator(model: Any, entry: Any, tensors: int) -> Operator:
    if not 0 <= entry.OpcodeIndex() < model.OperatorCodesLength():
        raise _damaged(f"operator code {entry.OpcodeIndex()} of {model.OperatorCodesLength()}")
    code = model.OperatorCodes(entry.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _KINDS.get(number, f"BUILTIN_{number}")
    if kind == "CUSTOM":
        kind = "CUSTOM:" + (code.CustomCode() or b"").decode("utf-8", "replace")
    inputs = _indices(entry.InputsAsNumpy(), tensors, kind, optional=True)
    outputs = _indices(entry.OutputsAsNumpy(), tensors, kind)
    return Operator(kind, inputs, outputs, _options(entry, kind))


def _options(entry: Any, kind: str) -> dict[str, Any]:
    table, name = entry.BuiltinOptions(), _OPTIONS.get(entry.BuiltinOptionsType(), "NONE")
    if table is None or name == "NONE":
        return {}
    own = _SHARED_OPTIONS.get(kind) or _OPTIONS_BY_KIND.get(kind.replace("_", "").lower(), name)
    if name != own:
        raise _damaged(f"{kind} with options of another operator, {name}")
    reader = getattr(schema, name)()
    reader.Init(table.Bytes, table.Pos)
    return dict(vars(getattr(schema, name + "T").InitFromObj(reader)))


def _vector(values: Any) -> Iterable[Any]:
    return () if isinstance(values, int) else values.tolist()


def _indices(values: Any, tensors: int, where: str, optional: bool = False) -> tuple[int, ...]:
    indices = tuple(int(index) for index in _vector(values))
    for index in indices:
        if not (-1 if optional else 0) <= index < tensors:
            raise _damaged(f"{where} refers to tensor {index} of {tensors}")
    return indices


def _check_order(
    tensors: tuple[Tensor, ...],
    operators: tuple[Operator, ...],
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
) -> None:
    """Every tensor is a constant, an input, or written once by an operator before it is read."""
    known = {index for index, tensor in enumerate(tensors) if tensor.constant}
    if known & set(inputs) or len(set(inputs)) != len(inputs):
        raise _damaged("a graph input that is a constant or is listed twice")
    known |= set(inputs)
    for operator in operators:
        unknown = [index for index in operator.inputs if index != -1 and index not in known]
        if unknown:
            raise _damaged(f"{operator.kind} reads tensor {tensors[unknown[0]].name!r} before it is written")
        if known & set(operator.outputs) or len(set(operator.outputs)) != len(operator.outputs):
            raise _damaged(f"{operator.kind} writes a tensor that has been written before")
        known |= set(operator.outputs)
    if not set(outputs) <= known:
        raise _damaged("a graph output that nothing writes")


def _signature(model: Any) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Tensor index → its names, of inputs and of outputs, by the signature of the first subgraph."""
    for index in range(min(model.SignatureDefsLength(), 64)):
        entry = model.SignatureDefs(index)
        if entry.SubgraphIndex() == 0:
            sides = ((entry.InputsLength(), entry.Inputs), (entry.OutputsLength(), entry.Outputs))
            if max(length for length, _ in sides) > 4096:
                raise _damaged("a signature of more than 4096 tensors")
            names: tuple[dict[int, list[str]], dict[int, list[str]]] = ({}, {})
            for side, (length, get) in zip(names, sides):
                for item in map(get, range(length)):
                    name = (item.Name() or b"").decode("utf-8", "replace")
                    side.setdefault(item.TensorIndex(), []).append(name)
            return names
    return {}, {}


def _states(model: Any, inputs: dict[str, int], outputs: dict[str, int], data: bytes) -> dict[str, str]:
    """Input → output that is fed back, as the file's metadata states it."""
    for index in range(min(model.MetadataLength(), 64)):
        entry = model.Metadata(index)
        if (entry.Name() or b"") == ENTRY.encode():
            states = json.loads(_content(model, entry.Buffer(), data))
            pairs = states.items() if isinstance(states, dict) else [(states, None)]
            if any(fed not in inputs or output not in outputs for fed, output in pairs):
                raise _damaged(f"states {states} of inputs {sorted(inputs)} and outputs {sorted(outputs)}")
            return dict(states)
    return {}


def _named(
    indices: tuple[int, ...], names: dict[int, list[str]], tensors: tuple[Tensor, ...], what: str
) -> dict[str, int]:
    """Name → tensor, in the order of the graph; a tensor that is given out several times has as many names."""
    left = {index: iter(each) for index, each in names.items()}
    named = {next(left.get(index, iter(())), "") or tensors[index].name: index for index in indices}
    if len(named) != len(indices):
        raise _damaged(f"two {what}s of the same name among {sorted(named)}")
    return named
