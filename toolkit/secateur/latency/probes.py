"""Small networks of known work, to fit a computer's latency model to and to try it on.

Designed rather than drawn: depth and width vary apart from each other for the costs of calls, operators and products;
convolutions vary in resolution, channels and kernel; and the ones that are held out lie between and beyond those that
are fitted, in other combinations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

Dense = tuple[int, ...]
"""Widths of a multi-layer perceptron, the input's first."""


@dataclass(frozen=True)
class Pictures:
    """A camera network: ``side`` pixels, ``channels`` of each convolution, kernel and kind, then dense layers.

    Attributes:
        side: of the square input, 3 channels.
        channels: of each convolution; every one has stride 2.
        kernel: of all of them.
        separable: depthwise and pointwise instead of whole convolutions.
        dense: widths after the last, flattened.
    """

    side: int
    channels: tuple[int, ...]
    kernel: int = 3
    separable: bool = False
    dense: tuple[int, ...] = (8,)


Probe = Dense | Pictures

FITTED: tuple[Probe, ...] = (
    (4, 4),
    (4, 8, 8, 4),
    (4, 8, 8, 8, 8, 8, 8, 4),
    (8, 32, 32, 4),
    (8, 32, 32, 32, 32, 32, 4),
    (16, 64, 64, 4),
    (16, 128, 128, 8),
    (16, 128, 128, 128, 128, 8),
    (32, 256, 256, 8),
    (32, 256, 256, 256, 8),
    (32, 512, 512, 8),
    (32, 512, 512, 512, 8),
    (64, 1024, 512, 8),
    (48, 96, 192, 96, 8),
    (7, 13, 13, 3),
    (13, 75, 75, 5),
    (21, 44, 100, 28, 7),
    (30, 300, 150, 10),
    (50, 620, 210, 6),
    (33, 450, 450, 9),
    Pictures(16, (8, 8)),
    Pictures(32, (8, 16)),
    Pictures(32, (16, 32, 32)),
    Pictures(64, (8, 16, 32)),
    Pictures(64, (16, 32, 64)),
    Pictures(48, (24, 24), 5),
    Pictures(20, (6, 10)),
    Pictures(44, (10, 20, 40)),
    Pictures(32, (16, 32), separable=True),
    Pictures(56, (10, 20, 36), separable=True),
    Pictures(64, (16, 32, 64), separable=True),
    Pictures(64, (8, 16, 16), 5, separable=True),
    Pictures(96, (16, 32, 64), separable=True, dense=(32, 8)),
)

HELD_OUT: tuple[Probe, ...] = (
    (5, 12, 12, 3),
    (6, 24, 24, 24, 4),
    (12, 48, 48, 48, 6),
    (17, 100, 60, 6),
    (24, 160, 160, 4),
    (24, 200, 100, 50, 6),
    (40, 320, 160, 8),
    (40, 384, 384, 8),
    (64, 700, 300, 8),
    Pictures(24, (8, 16)),
    Pictures(40, (12, 24, 32)),
    Pictures(64, (12, 24, 48), dense=(64, 8)),
    Pictures(48, (16, 16), 5),
    Pictures(48, (16, 24), separable=True),
    Pictures(80, (12, 24, 48), separable=True),
)


@dataclass
class _Writer:
    """Collects a chain of float32 operators and writes it as a .tflite with a signature."""

    generator: np.random.Generator
    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def tensor(self, shape: Sequence[int], data: np.ndarray | None = None) -> int:
        from ai_edge_litert import schema_py_generated as schema

        entry = schema.TensorT()
        entry.name, entry.shape, entry.buffer = f"t{len(self.tensors)}", list(shape), 0
        whole = data is not None and data.dtype == np.int32
        entry.type = schema.TensorType.INT32 if whole else schema.TensorType.FLOAT32
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.buffers.append(buffer)
            entry.buffer = len(self.buffers)
        self.tensors.append(entry)
        return len(self.tensors) - 1

    def weights(self, *shape: int) -> int:
        scale = 1.0 / np.prod(shape[1:]) ** 0.5
        return self.tensor(shape, self.generator.normal(0, scale, shape).astype(np.float32))

    def biases(self, count: int) -> int:
        """Above zero, so that no layer is dead: XNNPACK refuses ranges of nothing."""
        return self.tensor((count,), self.generator.uniform(0.1, 0.5, count).astype(np.float32))

    def apply(self, kind: str, inputs: list[int], shape: Sequence[int], options: str, **values: Any) -> int:
        from ai_edge_litert import schema_py_generated as schema

        if kind not in self.kinds:
            self.kinds.append(kind)
        entry, result = schema.OperatorT(), self.tensor(shape)
        entry.opcodeIndex, entry.inputs, entry.outputs = self.kinds.index(kind), inputs, [result]
        entry.builtinOptions = getattr(schema, f"{options}T")()
        entry.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        for key, value in values.items():
            setattr(entry.builtinOptions, key, value)
        self.operators.append(entry)
        return result

    def finish(self, source: int, result: int) -> bytes:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        graph, model, signature = schema.SubGraphT(), schema.ModelT(), schema.SignatureDefT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs, graph.name = [source], [result], "main"
        model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT(), *self.buffers]
        model.operatorCodes = []
        for kind in self.kinds:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
            model.operatorCodes.append(code)
        signature.signatureKey, signature.subgraphIndex = "act", 0
        for name, index, side in (("observation", source, "inputs"), ("action", result, "outputs")):
            item = schema.TensorMapT()
            item.name, item.tensorIndex = name, index
            setattr(signature, side, [item])
        model.signatureDefs = [signature]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def probe_model(probe: Probe, seed: int = 0) -> bytes:
    """A float32 .tflite of a probe, with drawn weights."""
    from ai_edge_litert import schema_py_generated as schema

    writer = _Writer(np.random.default_rng(seed))
    none, relu = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU
    same = schema.Padding.SAME

    def dense(current: int, widths: Sequence[int]) -> int:
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            last = layer == len(widths) - 2
            current = writer.apply(
                "FULLY_CONNECTED",
                [current, writer.weights(outputs, inputs), writer.biases(outputs)],
                (1, outputs),
                "FullyConnectedOptions",
                fusedActivationFunction=none if last else relu,
            )
        return current

    if not isinstance(probe, Pictures):
        source = writer.tensor((1, probe[0]))
        return writer.finish(source, dense(source, probe))
    side, before, kernel = probe.side, 3, probe.kernel
    current = source = writer.tensor((1, side, side, before))
    for channels in probe.channels:
        half = -(-side // 2)
        how = {"padding": same, "strideW": 2, "strideH": 2, "fusedActivationFunction": relu}
        if probe.separable:
            taken = [current, writer.weights(1, kernel, kernel, before), writer.biases(before)]
            shape = (1, half, half, before)
            current = writer.apply(
                "DEPTHWISE_CONV_2D", taken, shape, "DepthwiseConv2DOptions", depthMultiplier=1, **how
            )
            how, kernel_now = {**how, "strideW": 1, "strideH": 1}, 1
        else:
            kernel_now = kernel
        taken = [current, writer.weights(channels, kernel_now, kernel_now, before), writer.biases(channels)]
        current = writer.apply("CONV_2D", taken, (1, half, half, channels), "Conv2DOptions", **how)
        side, before = half, channels
    flat = side * side * before
    wanted = writer.tensor((2,), np.array([1, flat], np.int32))
    current = writer.apply("RESHAPE", [current, wanted], (1, flat), "ReshapeOptions", newShape=[1, flat])
    return writer.finish(source, dense(current, (flat, *probe.dense)))
