"""Int8 networks written straight as flatbuffers, with numbers that training would never give."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int64": schema.TensorType.INT64,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
    "bool": schema.TensorType.BOOL,
}


@dataclass
class Writer:
    """Collects tensors and operators, then writes the .tflite."""

    tensors: list = field(default_factory=list)
    operators: list = field(default_factory=list)
    buffers: list = field(default_factory=lambda: [schema.BufferT()])
    kinds: list = field(default_factory=list)

    def tensor(self, name, shape, dtype="int8", scales=None, zero_points=None, data=None):
        entry = schema.TensorT()
        entry.name, entry.shape, entry.type, entry.buffer = name, list(shape), TYPES[dtype], 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.buffers.append(buffer)
            entry.buffer = len(self.buffers) - 1
        if scales is not None:
            entry.quantization = schema.QuantizationParametersT()
            entry.quantization.scale = [float(scale) for scale in scales]
            entry.quantization.zeroPoint = [int(point) for point in (zero_points or [0] * len(scales))]
        self.tensors.append(entry)
        return len(self.tensors) - 1

    def operator(self, kind, inputs, outputs, options_name=None, **options):
        entry = schema.OperatorT()
        if kind not in self.kinds:
            self.kinds.append(kind)
        entry.opcodeIndex, entry.inputs, entry.outputs = self.kinds.index(kind), inputs, outputs
        if options_name:
            entry.builtinOptions = getattr(schema, options_name + "T")()
            entry.builtinOptionsType = getattr(schema.BuiltinOptions, options_name)
            for key, value in options.items():
                setattr(entry.builtinOptions, key, value)
        self.operators.append(entry)

    def finish(self, inputs, outputs, signature=None):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = (
            self.tensors,
            self.operators,
            inputs,
            outputs,
        )
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = []
        for kind in self.kinds:
            code = schema.OperatorCodeT()
            code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), 1
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            model.operatorCodes.append(code)
        if signature:
            entry = schema.SignatureDefT()
            entry.signatureKey, entry.subgraphIndex = "serving_default", 0
            entry.inputs, entry.outputs = [], []
            for side, names in zip((entry.inputs, entry.outputs), signature):
                for name, tensor in names.items():
                    item = schema.TensorMapT()
                    item.name, item.tensorIndex = name, tensor
                    side.append(item)
            model.signatureDefs = [entry]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


@dataclass(frozen=True)
class Layer:
    """A fully connected layer, and what follows it.

    ``multiplier`` is the middle of input scale × weight scale / output scale: the share of a sum that reaches
    the output. ``tail`` are element-wise operators, int8 to int8.
    """

    rows: int
    per_channel: bool = True
    bias: bool = True
    activation: int = 0
    multiplier: float = 0.002
    zero_point: int = 0
    tail: tuple[str, ...] = ()
    largest_bias: int = 3000
    reshape: bool = False


ACTIVATION_SCALES = {"TANH": (1 / 128, 0), "LOGISTIC": (1 / 256, -128)}


def network(columns: int, layers: list[Layer], seed: int, scale: float = 0.05, zero_point: int = 3) -> bytes:
    """A chain of layers from ``observation`` [1, columns] to ``action``."""
    generator = np.random.default_rng(seed)
    writer = Writer()
    first = current = writer.tensor(
        "serving_default_observation", (1, columns), "int8", [scale], [zero_point]
    )
    for number, layer in enumerate(layers):
        name = f"pkg.Policy/torch.nn.Linear_fc{number};"
        spread = 2.0 ** generator.uniform(-3, 3, layer.rows if layer.per_channel else 1) * 0.01
        spread = spread.astype(np.float32)
        weights = generator.integers(-127, 128, (layer.rows, columns))
        inputs = [current, writer.tensor(name, (layer.rows, columns), "int8", spread, None, weights), -1]
        if layer.bias:
            bias = generator.integers(-layer.largest_bias, layer.largest_bias + 1, layer.rows)
            scales = np.float32(scale) * spread
            inputs[2] = writer.tensor(name + "bias", (layer.rows,), "int32", scales, None, bias)
        result_scale = float(np.float32(max(scale * 0.01 / layer.multiplier, 1e-7)))
        current = writer.tensor(name + "out", (1, layer.rows), "int8", [result_scale], [layer.zero_point])
        writer.operator(
            "FULLY_CONNECTED",
            inputs,
            [current],
            "FullyConnectedOptions",
            fusedActivationFunction=layer.activation,
            keepNumDims=True,
        )
        scale, zero_point, columns = result_scale, layer.zero_point, layer.rows
        if layer.reshape:
            shape = writer.tensor(name + "shape", (2,), "int32", None, None, [1, columns])
            following = writer.tensor(name + "view", (1, columns), "int8", [scale], [zero_point])
            writer.operator("RESHAPE", [current, shape], [following], "ReshapeOptions", newShape=[1, columns])
            current = following
        for kind in layer.tail:
            options = {"options_name": "LeakyReluOptions", "alpha": 0.1} if kind == "LEAKY_RELU" else {}
            scale, zero_point = ACTIVATION_SCALES.get(kind, (scale * 0.7, 7))
            following = writer.tensor(f"{name}{kind}", (1, columns), "int8", [scale], [zero_point])
            writer.operator(kind, [current], [following], **options)
            current = following
    return writer.finish([first], [current], ({"observation": first}, {"action": current}))
