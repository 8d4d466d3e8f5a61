"""Damage to .tflite files that stays a flatbuffer: wild shapes, indices, types, scales, options and constants."""

import struct

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

WILD = (-(2**31), -2, -1, 0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 65535, 65536, 2**20, 2**31 - 1)


def _wild(generator, old=None):
    if old is not None and generator.random() < 0.5:
        return int(np.clip(int(old) + int(generator.integers(-2, 3)), -(2**31), 2**31 - 1))
    return int(generator.choice(WILD))


def _one(generator, items):
    return items[int(generator.integers(len(items)))]


def _shape(generator, graph, model):
    tensor = _one(generator, graph.tensors)
    shape = [int(size) for size in tensor.shape] if tensor.shape is not None else []
    turn = generator.random()
    if turn < 0.2 and shape:
        shape = [int(size) for size in generator.permutation(shape)]
    elif turn < 0.3:
        shape.append(1)
    elif turn < 0.4 and shape:
        shape.pop()
    elif shape:
        place = int(generator.integers(len(shape)))
        shape[place] = _wild(generator, shape[place])
    tensor.shape = shape


def _type(generator, graph, model):
    _one(generator, graph.tensors).type = int(generator.integers(0, 20))


def _scale(generator, graph, model):
    entry = _one(generator, graph.tensors).quantization
    if entry is None or entry.scale is None or not len(entry.scale):
        return
    scales = [float(scale) for scale in entry.scale]
    turn = generator.random()
    if turn < 0.2:
        scales = scales[: int(generator.integers(len(scales) + 1))]
    elif turn < 0.3:
        scales *= 2
    else:
        place = int(generator.integers(len(scales)))
        wild = (0.0, -1.0, 1e-45, 1e-30, 1e-8, 0.5, 1.0, 1e8, 1e38, float("inf"), float("nan"))
        scales[place] = float(_one(generator, wild)) if generator.random() < 0.6 else scales[place] * 2.0**10
    entry.scale = scales


def _zero_point(generator, graph, model):
    entry = _one(generator, graph.tensors).quantization
    if entry is not None and entry.zeroPoint is not None and len(entry.zeroPoint):
        points = [int(point) for point in entry.zeroPoint]
        points[int(generator.integers(len(points)))] = _wild(generator)
        entry.zeroPoint = points


def _axis(generator, graph, model):
    entry = _one(generator, graph.tensors).quantization
    if entry is not None:
        entry.quantizedDimension = _wild(generator, entry.quantizedDimension)


def _edge(generator, graph, model):
    operator = _one(generator, graph.operators)
    side = _one(generator, ("inputs", "outputs"))
    edges = [int(index) for index in getattr(operator, side)]
    turn = generator.random()
    if turn < 0.2:
        edges = edges[:-1]
    elif turn < 0.35:
        edges.append(int(generator.integers(-1, len(graph.tensors))))
    elif turn < 0.5:
        edges = edges[::-1]
    elif edges:
        edges[int(generator.integers(len(edges)))] = int(generator.integers(-2, len(graph.tensors) + 1))
    setattr(operator, side, edges)


def _ends(generator, graph, model):
    side = _one(generator, ("inputs", "outputs"))
    ends = [int(index) for index in getattr(graph, side)]
    ends.insert(0, int(generator.integers(-1, len(graph.tensors) + 1)))
    setattr(graph, side, ends[: int(generator.integers(len(ends) + 1))])


def _option(generator, graph, model):
    options = _one(generator, graph.operators).builtinOptions
    fields = (
        [name for name, value in vars(options).items() if isinstance(value, int | float | bool)]
        if options
        else []
    )
    if fields:
        name = _one(generator, fields)
        old = getattr(options, name)
        if isinstance(old, bool):
            setattr(options, name, not old)
        elif isinstance(old, float):
            setattr(options, name, float(_one(generator, (0.0, -1.0, 0.5, 3.0, 1e30))))
        else:
            small = name in ("padding", "fusedActivationFunction", "weightsFormat")
            setattr(options, name, int(generator.integers(0, 7)) if small else _wild(generator, old))


def _kind(generator, graph, model):
    code = _one(generator, model.operatorCodes)
    code.builtinCode = int(generator.integers(0, 162))
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)


def _constant(generator, graph, model):
    full = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data)]
    if not full:
        return
    buffer = _one(generator, full)
    data = np.array(buffer.data, np.uint8)
    if generator.random() < 0.15:
        buffer.data = data[: int(generator.integers(len(data)))]
        return
    if len(data) % 4 == 0 and generator.random() < 0.7:
        words = data.view(np.int32).copy()
        place = int(generator.integers(len(words)))
        words[place] = _wild(generator, words[place])
        data = words.view(np.uint8)
    else:
        data[int(generator.integers(len(data)))] = int(generator.integers(256))
    buffer.data = data


MUTATIONS = (
    _shape,
    _type,
    _scale,
    _zero_point,
    _axis,
    _edge,
    _ends,
    _option,
    _option,
    _kind,
    _constant,
    _constant,
)


def structurally(generator: np.random.Generator, model: bytes) -> bytes:
    """One to three changes of what a model says, as a whole flatbuffer; the model itself if none can be written."""
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    for _ in range(int(generator.integers(1, 4))):
        _one(generator, MUTATIONS)(generator, tree.subgraphs[0], tree)
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(tree.Pack(builder), b"TFL3")
    except (TypeError, ValueError, OverflowError, struct.error):  # not to be represented
        return model
    return bytes(builder.Output())


def bytewise(generator: np.random.Generator, model: bytes) -> bytes:
    """Bytes and words changed anywhere, or the end cut off."""
    data = bytearray(model)
    turn = generator.random()
    if turn < 0.1:
        return bytes(data[: int(generator.integers(len(data)))])
    for _ in range(int(generator.integers(1, 12))):
        if turn < 0.4:
            place = int(generator.integers(2, len(data) // 4))
            data[4 * place : 4 * place + 4] = int(_wild(generator) & 0xFFFFFFFF).to_bytes(4, "little")
        else:
            data[int(generator.integers(8, len(data)))] ^= 1 << int(generator.integers(8))
    return bytes(data)


def damaged(generator: np.random.Generator, model: bytes) -> bytes:
    """Either kind of damage."""
    return (structurally if generator.random() < 0.7 else bytewise)(generator, model)
