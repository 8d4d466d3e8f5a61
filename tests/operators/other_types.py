"""One-operator networks of int16 and of float32 activations, of drawn shapes."""

from functools import partial

import numpy as np
from single_layers import Net, _image, _pick, _window, tokens

from secateur.operators.compare.rule import ANSWERS
from secateur.operators.curve.rule import CURVES, SERIES


class Half(Net):
    """A chain of operators on int16: zero points of zero."""

    dtype = "int16"

    def __init__(self, generator, shape, scale=None):
        self.biases = _pick(generator, "int64", "int64", "int32")
        super().__init__(generator, shape)
        if scale is not None:
            self.scale = scale
        first = self.writer.tensors[self.first]
        first.type, self.zero = self.code("int16"), 0
        first.quantization.scale, first.quantization.zeroPoint = [self.scale], [0]

    def code(self, dtype):
        from tflite_networks import TYPES

        return TYPES[dtype]

    def result(self, shape, scale=None, zero=None, name="t"):
        """A new activation."""
        tensor = super().result(shape, scale, 0, name)
        self.writer.tensors[tensor].type = self.code("int16")
        return tensor

    def weights(self, shape, axis, reach, values=None):
        """As of int8, with biases of 64 bits or of 32, larger in proportion."""
        inputs, target = super().weights(shape, axis, reach, values)
        largest = self.scale * max(self.writer.tensors[inputs[1]].quantization.scale)
        target = max(target, float(np.float32(largest / 100)))  # sums are scaled up by less than 2⁷
        if inputs[2] == -1:
            return inputs, target
        old = self.writer.tensors.pop()
        self.writer.buffers.pop()
        rows = int(old.shape[0])
        bias = self.generator.integers(-(1 << 24), 1 << 24, rows)
        inputs[2] = self.writer.tensor("b", (rows,), self.biases, old.quantization.scale, None, bias)
        return inputs, target

    def unary(self, kind, scale=None, option=None, **options):
        """An element-wise operator."""
        source = self.current
        self.current = self.result(self.shape, scale)
        self.writer.operator(kind, [source], [self.current], option, **options)

    def second(self, shape, constant, scale=None):
        """Another source: a constant, or the first one through a TANH."""
        if constant:
            scale = float(np.float32(2.0 ** self.generator.uniform(-6, -2))) if scale is None else scale
            values = self.generator.integers(-(1 << 15), 1 << 15, shape)
            return self.writer.tensor("k", shape, "int16", [scale], [0], values)
        place = self.writer.tensor("second", shape, "int16", [1 / (1 << 15)], [0])
        self.writer.operator("TANH", [self.first], [place])
        return place

    def learnt(self, shape):
        """A constant beside what is there."""
        return self.second(shape, True, self.scale)


class Real(Half):
    """A chain of operators on float32."""

    def __init__(self, generator, shape):
        super().__init__(generator, shape)
        self._real(self.first)

    def _real(self, tensor):
        entry = self.writer.tensors[tensor]
        entry.type, entry.quantization = self.code("float32"), None

    def result(self, shape, scale=None, zero=None, name="t"):
        """A new activation."""
        tensor = super().result(shape, scale, 0, name)
        self._real(tensor)
        return tensor

    def weights(self, shape, axis, reach, values=None):
        """Weights and a bias or none."""
        matrix = self.writer.tensor("w", shape, "float32", data=self.generator.normal(0, reach**-0.5, shape))
        inputs = [self.current, matrix, -1]
        if self.generator.random() < 0.8:
            bias = self.generator.normal(size=shape[axis])
            inputs[2] = self.writer.tensor("b", (shape[axis],), "float32", data=bias)
        return inputs, 1.0

    def second(self, shape, constant, scale=None):
        """Another source: a constant, or the first one through a TANH."""
        if constant:
            return self.writer.tensor("k", shape, "float32", data=self.generator.normal(size=shape))
        place = self.result(shape)
        self.writer.operator("TANH", [self.first], [place])
        return place


def dense(generator, kind=Half):
    """One vector or several, up to 1,100 columns, with and without a bias and an activation."""
    columns = int(_pick(generator, 1, 3, 17, 40, 255, 256, 257, 1100, generator.integers(1, 90)))
    net = kind(generator, (int(_pick(generator, 1, 1, 1, 3)), columns))
    rows = int(generator.integers(1, 20))
    inputs, scale = net.weights((rows, columns), 0, columns)
    net.current = net.result((net.shape[0], rows), scale, None, "fc")
    options = {"fusedActivationFunction": _pick(generator, 0, 0, 1, 3)}
    net.writer.operator("FULLY_CONNECTED", inputs, [net.current], "FullyConnectedOptions", **options)
    return net.finish()


def curves(generator):
    """TANH and LOGISTIC, over scales that are powers of two and that are not."""
    scale = _pick(generator, 1 / 4096, 1 / 2048, 1 / 1024, 1 / 8192, 2.0 ** generator.uniform(-16, 2))
    net = Half(generator, (1, 200), float(np.float32(scale)))
    net.unary(_pick(generator, "TANH", "LOGISTIC"), 1 / (1 << 15))
    return net.finish()


def bent(generator):
    """RELU and its kin, slopes below zero among them, and QUANTIZE between int8 and int16."""
    net = Half(generator, (1, int(generator.integers(1, 90))))
    kind = _pick(generator, "RELU", "RELU6", "LEAKY_RELU", "ABS", "QUANTIZE", "NARROW", "WIDE")
    scale = float(np.float32(net.scale * 2.0 ** generator.uniform(-2, 2)))
    if kind == "LEAKY_RELU":
        net.unary(kind, scale, "LeakyReluOptions", alpha=float(generator.uniform(-0.9, 0.9)))
    elif kind in ("NARROW", "WIDE"):
        zero = int(generator.integers(-128, 128))
        narrow = net.writer.tensor("bytes", net.shape, "int8", [float(np.float32(scale * 256))], [zero])
        net.writer.operator("QUANTIZE", [net.current], [narrow])
        net.current = narrow
        if kind == "WIDE":
            net.current = net.result(net.shape, scale)
            net.writer.operator("QUANTIZE", [narrow], [net.current])
    else:
        net.unary(kind, net.scale if kind == "RELU6" or generator.random() < 0.2 else scale)
    return net.finish()


def pairs(kinds, option, same=False, net_kind=Half):
    """Of two sources, broadcast or not, one of them a constant or not, with fused activations."""

    def build(generator):
        net = net_kind(generator, _image(generator, 6, 12))
        shape, scale = net.shape, net.scale
        constant = generator.random() < 0.5
        small = shape
        if constant:
            keep = generator.random(4) < _pick(generator, 0.0, 0.5, 1.0)
            small = tuple(size if kept else 1 for size, kept in zip(shape, keep))
        kind = _pick(generator, *kinds)
        other = net.second(small, constant or same, scale if same else None)
        quantization = net.writer.tensors[other].quantization
        two = quantization.scale[0] if quantization else 1.0
        span = {"MUL": 20000 * scale * two, "SQUARED_DIFFERENCE": 30000 * max(scale, two) ** 2}
        wide = span.get(kind, 1.5 * max(scale, two))
        target = scale if same else float(np.float32(wide * 2.0 ** generator.uniform(-1, 1)))
        result = net.result(shape, target)
        inputs = [net.current, other] if generator.random() < 0.7 else [other, net.current]
        net.current = result
        bare = same or kind == "SQUARED_DIFFERENCE"
        fused = {} if bare else {"fusedActivationFunction": _pick(generator, 0, 0, 1, 3)}
        net.writer.operator(kind, inputs, [result], option, **fused)
        return net.finish()

    return build


def moves(generator, type_=Half):
    """Transposes, slices, splits, concatenations and padding."""
    net = type_(generator, (1, *(int(size) for size in generator.integers(2, 7, 3))))
    for _ in range(int(generator.integers(1, 4))):
        kind = _pick(generator, "TRANSPOSE", "SLICE", "CONCATENATION", "SPLIT", "PAD", "RESHAPE")
        source, shape = net.current, net.shape
        if kind == "TRANSPOSE":
            order = [0, *(1 + generator.permutation(3)).tolist()]
            net.current = net.result([shape[axis] for axis in order], net.scale)
            net.writer.operator(kind, [source, net.constant(order)], [net.current])
        elif kind == "SLICE":
            begin = [int(generator.integers(0, size)) for size in shape]
            size = [int(generator.integers(1, whole - first + 1)) for whole, first in zip(shape, begin)]
            net.current = net.result(size, net.scale)
            net.writer.operator(kind, [source, net.constant(begin), net.constant(size)], [net.current])
        elif kind == "CONCATENATION":
            axis = int(generator.integers(1, 4))
            net.current = net.result([s * (1 + (n == axis)) for n, s in enumerate(shape)], net.scale)
            net.writer.operator(kind, [source, source], [net.current], "ConcatenationOptions", axis=axis)
        elif kind == "PAD":
            net.pad([(0, 0), *generator.integers(0, 3, (3, 2)).tolist()])
        elif kind == "RESHAPE":
            net.current = net.result((1, shape[1] * shape[2], 1, shape[3]), net.scale)
            new = list(net.shape)
            net.writer.operator(
                kind, [source, net.constant(new)], [net.current], "ReshapeOptions", newShape=new
            )
        elif shape[3] % 2 == 0:
            parts = [net.result([*shape[:3], shape[3] // 2], net.scale) for _ in range(2)]
            net.writer.operator(kind, [net.constant(3), source], parts, "SplitOptions", numSplits=2)
            net.current = net.result(shape, net.scale)
            net.writer.operator("CONCATENATION", parts[::-1], [net.current], "ConcatenationOptions", axis=3)
    net.unary("TANH", 1 / (1 << 15))
    return net.finish()


def conv(generator, kind=Half):
    """Any window, stride and padding; some with a PAD before it, some with activations."""
    net = kind(generator, _image(generator))
    padding = int(generator.integers(2))
    if generator.random() < 0.3:
        net.pad([(0, 0), *generator.integers(0, 3, (2, 2)).tolist(), (0, 0)])
    window, steps = _window(generator, net.shape, padding)
    net.conv(int(generator.integers(1, 9)), window, steps, padding, _pick(generator, 0, 1, 3))
    return net.finish()


def dilated(generator, kind=Half):
    """Windows with places left out; of all channels, or of each alone."""
    net = kind(generator, (1, *generator.integers(5, 11, 2).tolist(), int(generator.integers(1, 6))))
    window, dilation = ([int(each) for each in generator.integers(1, 4, 2)] for _ in range(2))
    padding = 0 if min(net.shape[1:3]) < 7 else int(generator.integers(2))
    steps = [int(step) for step in generator.integers(1, 3, 2)]
    if generator.random() < 0.5:
        net.biases = "int64"
        net.depthwise(window, steps, padding, 0, int(_pick(generator, 1, 2)), dilation)
    else:
        net.conv(int(generator.integers(1, 7)), window, steps, padding, 0, None, dilation)
    return net.finish()


def deep(generator, kind=Half):
    """Pixels of more channels than are summed up at once."""
    net = kind(generator, (1, 1, 2, int(_pick(generator, 255, 256, 257, 700))))
    net.conv(3, (1, 1))
    return net.finish()


def depthwise(generator, kind=Half):
    """As for convolutions; some with several rows for each channel."""
    net = kind(generator, _image(generator, channels=8))
    net.biases = "int64"
    padding = int(generator.integers(2))
    if generator.random() < 0.3:
        net.pad([(0, 0), *generator.integers(0, 3, (2, 2)).tolist(), (0, 0)])
    window, steps = _window(generator, net.shape, padding)
    net.depthwise(window, steps, padding, _pick(generator, 0, 1, 3), int(_pick(generator, 1, 1, 3)))
    return net.finish()


def pools(generator, kind=Half):
    """Both kinds."""
    net = kind(generator, _image(generator))
    padding = int(generator.integers(2))
    window, steps = _window(generator, net.shape, padding)
    net.pool(
        _pick(generator, "AVERAGE_POOL_2D", "MAX_POOL_2D"), window, steps, padding, _pick(generator, 0, 0, 1)
    )
    return net.finish()


def mean(generator, kind=Half):
    """Over axes at any place, with the same scale at both ends and with others."""
    net = kind(generator, _image(generator))
    axes = _pick(generator, (1, 2), (1, 2), (3,), (1,), (2, 3), (1, 2, 3))
    net.mean(list(axes), generator.random() < 0.5, generator.random() < 0.4)
    return net.finish()


def total(generator, kind=Half):
    """A sum over axes."""
    net = kind(generator, _image(generator))
    axes = _pick(generator, (1, 2), (3,), (1,), (1, 2, 3))
    net.mean(list(axes), generator.random() < 0.5, generator.random() < 0.4, "SUM")
    return net.finish()


def softmax(generator, kind=Half):
    """Over up to 40 classes, of scales that leave little of most of them and that do not."""
    net = kind(generator, (int(generator.integers(1, 6)), int(generator.integers(1, 40))))
    net.unary("SOFTMAX", 1 / (1 << 15), "SoftmaxOptions", beta=_pick(generator, 1.0, 0.5))
    return net.finish()


def roots(generator):
    """1 / √x of zero and more."""
    net = Half(generator, (1, int(generator.integers(1, 90))))
    net.unary("RELU", net.scale)
    net.unary("RSQRT", float(np.float32(net.scale**-0.5 * 2.0 ** generator.uniform(-18, -6))))
    return net.finish()


def matmul(generator, kind=Half):
    """x · yᵀ by batches, y being tanh(x) or a constant; either side transposed, either first."""
    net = kind(generator, [int(size) for size in generator.integers((1, 1, 1), (4, 9, 9))])
    other = net.second(net.shape, generator.random() < 0.5)
    flip = bool(generator.integers(2))
    side, inputs = net.shape[2 if flip else 1], [net.current, other]
    inputs = inputs if generator.random() < 0.5 else inputs[::-1]
    net.current = net.result(
        (net.shape[0], side, side), float(np.float32(net.scale * generator.uniform(0.5, 3)))
    )
    net.writer.operator("BATCH_MATMUL", inputs, [net.current], "BatchMatMulOptions", adjX=flip, adjY=not flip)
    return net.finish()


def select(generator, kind=Half):
    """The one or the other by a comparison, of int8 where TFLM has none of int16; constants among them."""
    net = kind(generator, _image(generator, 6, 12))
    shape, scale = net.shape, net.scale
    values = net.second(_pick(generator, shape, (1, 1, 1, shape[3]), (1, 1, 1, 1)), True, scale)
    chosen = [net.first, values] if generator.random() < 0.5 else [values, net.first]
    if generator.random() < 0.3:
        truth = net.writer.tensor("k", shape, "bool", data=generator.integers(0, 2, shape))
    else:
        sides = [net.first, net.second((1, 1, 1, shape[3]), True)]
        if kind is Half:
            sides[0] = net.writer.tensor("bytes", shape, "int8", [0.5], [0])
            net.writer.operator("QUANTIZE", [net.first], [sides[0]])
            limit = generator.integers(-128, 128, (1, 1, 1, shape[3]))
            sides[1] = net.writer.tensor("limit", limit.shape, "int8", [0.01], [3], limit)
        truth, answer = net.writer.tensor("truth", shape, "bool"), _pick(generator, *ANSWERS)
        sides = sides if generator.random() < 0.7 else sides[::-1]
        net.writer.operator(answer, sides, [truth], f"{answer.title().replace('_', '')}Options")
    net.current = net.result(shape, scale)
    net.writer.operator("SELECT_V2", [truth, *chosen], [net.current], "SelectV2Options")
    return net.finish()


INT16 = {
    "dense": dense,
    "curves": curves,
    "bent": bent,
    "add": pairs(("ADD",), "AddOptions"),
    "sub": pairs(("SUB",), "SubOptions"),
    "mul": pairs(("MUL",), "MulOptions"),
    "extreme": pairs(("MAXIMUM", "MINIMUM"), "MaximumMinimumOptions", same=True),
    "moves": moves,
    "tokens": partial(tokens, kind=Half),
    "conv": conv,
    "deep": deep,
    "depthwise": depthwise,
    "dilated": dilated,
    "pools": pools,
    "mean": mean,
    "total": total,
    "softmax": softmax,
    "squares": pairs(("SQUARED_DIFFERENCE",), "SquaredDifferenceOptions"),
    "roots": roots,
    "matmul": matmul,
    "select": select,
}
"""Kind of network → its builder: generator → .tflite. Every one is tested by being listed here."""


def real_curves(generator):
    """Element-wise operators, over numbers near zero and far from it."""
    net = Real(generator, (1, int(generator.integers(1, 90))))
    kind = _pick(generator, *CURVES, *SERIES)
    if kind in ("SQRT", "RSQRT", "LOG"):
        net.unary("SQUARE")
    if kind == "LEAKY_RELU":
        net.unary(kind, None, "LeakyReluOptions", alpha=0.3)
    else:
        net.unary(kind)
    return net.finish()


def mixed(generator):
    """From float32 to int8 or int16, a layer of that type, and back."""
    net = Real(generator, (1, int(generator.integers(1, 30))))
    dtype, zero = _pick(generator, ("int8", int(generator.integers(-128, 128))), ("int16", 0))
    scale = float(np.float32(2.0 ** generator.uniform(-6, -4) / (1 if dtype == "int8" else 256)))
    whole = net.writer.tensor("whole", net.shape, dtype, [scale], [zero])
    net.writer.operator("QUANTIZE", [net.current], [whole])
    bent = net.writer.tensor("bent", net.shape, dtype, [scale], [zero])
    net.writer.operator("RELU", [whole], [bent])
    net.current = net.result(net.shape)
    net.writer.operator("DEQUANTIZE", [bent], [net.current])
    return net.finish()


FLOAT32 = {
    "dense": partial(dense, kind=Real),
    "curves": real_curves,
    "softmax": partial(softmax, kind=Real),
    "mixed": mixed,
    "pairs": pairs(("ADD",), "AddOptions", net_kind=Real),
    "sub": pairs(("SUB",), "SubOptions", net_kind=Real),
    "mul": pairs(("MUL",), "MulOptions", net_kind=Real),
    "div": pairs(("DIV",), "DivOptions", net_kind=Real),
    "extreme": pairs(("MAXIMUM", "MINIMUM"), "MaximumMinimumOptions", same=True, net_kind=Real),
    "moves": partial(moves, type_=Real),
    "tokens": partial(tokens, kind=Real),
    "conv": partial(conv, kind=Real),
    "depthwise": partial(depthwise, kind=Real),
    "dilated": partial(dilated, kind=Real),
    "pools": partial(pools, kind=Real),
    "mean": partial(mean, kind=Real),
    "total": partial(total, kind=Real),
    "squares": pairs(("SQUARED_DIFFERENCE",), "SquaredDifferenceOptions", net_kind=Real),
    "matmul": partial(matmul, kind=Real),
    "select": partial(select, kind=Real),
}
"""The same of float32."""
