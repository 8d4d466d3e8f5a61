"""One-operator int8 networks of drawn shapes, written straight as flatbuffers."""

from dataclasses import dataclass

import numpy as np
from tflite_networks import Writer


@dataclass(frozen=True)
class Case:
    """A network, and the name that a failure is known by."""

    name: str
    model: bytes


def _pick(generator, *values):
    return values[int(generator.integers(len(values)))]


def _scale(generator):
    return float(np.float32(2.0 ** generator.uniform(-6, -2)))


def _zero(generator):
    return int(_pick(generator, -128, 127, 0, generator.integers(-128, 128)))


class Net:
    """A chain of operators from one input of a given shape."""

    def __init__(self, generator, shape):
        self.generator, self.writer = generator, Writer()
        self.scale, self.zero, self.shape = _scale(generator), _zero(generator), tuple(shape)
        self.first = self.current = self.writer.tensor("in", shape, "int8", [self.scale], [self.zero])
        self.outputs = []

    def result(self, shape, scale=None, zero=None, name="t"):
        """A new activation."""
        self.scale = _scale(self.generator) if scale is None else scale
        self.zero = _zero(self.generator) if zero is None else zero
        self.shape = tuple(shape)
        label = f"{name}{len(self.writer.tensors)}"
        return self.writer.tensor(label, shape, "int8", [self.scale], [self.zero])

    def constant(self, values, name="c"):
        """A constant of int32."""
        values = np.asarray(values, np.int32)
        return self.writer.tensor(f"{name}{len(self.writer.tensors)}", values.shape, "int32", data=values)

    def learnt(self, shape):
        """A constant beside what is there, stored in the same way."""
        values = self.generator.integers(-128, 128, shape)
        return self.writer.tensor("learnt", shape, "int8", [self.scale], [self.zero], values)

    def finish(self, outputs=None):
        """The .tflite."""
        return self.writer.finish([self.first], outputs or [self.current], None)

    def weights(self, shape, axis, reach, values=None):
        """Weights, their scales along an axis or one, and a bias, so that results are in range."""
        generator, rows = self.generator, shape[axis]
        share = 0.4 * 2.0 ** generator.uniform(-1, 1) / (reach**0.5 * 70 * 70)
        target = _scale(generator)
        per_row = generator.random() < 0.8
        spread = 2.0 ** generator.uniform(-4, 4, rows) if per_row else np.ones(1)
        if generator.random() < 0.15:
            spread[0] = 2.0 ** generator.uniform(8, 16)
        scales = (spread * 100 * share * target / self.scale).astype(np.float32)
        values = generator.integers(-127, 128, shape) if values is None else values
        matrix = self.writer.tensor("w", shape, "int8", scales, None, values)
        entry = self.writer.tensors[matrix]
        entry.quantization.quantizedDimension = axis if per_row else 0
        inputs = [self.current, matrix]
        if generator.random() < 0.8:
            largest = int(_pick(generator, 3000, 100000))
            bias = generator.integers(-largest, largest, rows)
            inputs.append(self.writer.tensor("b", (rows,), "int32", scales * self.scale, None, bias))
        else:
            inputs.append(-1)
        return inputs, target

    def pad(self, amounts):
        """PAD by the zero point."""
        shape = [size + sum(pair) for size, pair in zip(self.shape, amounts)]
        inputs = [self.current, self.constant(amounts)]
        self.current = self.result(shape, self.scale, self.zero)
        self.writer.operator("PAD", inputs, [self.current], "PadOptions")

    def places(self, window, steps, padding):
        """Height and width of what a window leaves."""
        if padding == 0:
            return [-(-size // step) for size, step in zip(self.shape[1:3], steps)]
        return [(size - side) // step + 1 for size, side, step in zip(self.shape[1:3], window, steps)]

    def dense(self, rows, values=None):
        """FULLY_CONNECTED."""
        inputs, scale = self.weights((rows, self.shape[1]), 0, self.shape[1], values)
        self.current = self.result((1, rows), scale, None, "fc")
        self.writer.operator("FULLY_CONNECTED", inputs, [self.current], "FullyConnectedOptions")

    def conv(self, rows, window, steps=(1, 1), padding=0, activation=0, values=None, dilation=(1, 1)):
        """CONV_2D."""
        channels = self.shape[3]
        inputs, scale = self.weights((rows, *window, channels), 0, channels * window[0] * window[1], values)
        whole = [(side - 1) * by + 1 for side, by in zip(window, dilation)]
        places = self.places(whole, steps, padding)
        self.current = self.result((1, *places, rows), scale, -128 if activation else None, "conv")
        options = {"strideH": steps[0], "strideW": steps[1], "padding": padding}
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
        options |= {"fusedActivationFunction": activation}
        self.writer.operator("CONV_2D", inputs, [self.current], "Conv2DOptions", **options)

    def depthwise(self, window, steps=(1, 1), padding=0, activation=0, multiplier=1, dilation=(1, 1)):
        """DEPTHWISE_CONV_2D."""
        rows = self.shape[3] * multiplier
        inputs, scale = self.weights((1, *window, rows), 3, window[0] * window[1])
        inputs = inputs[:2] if inputs[2] == -1 else inputs  # TFLM crashes on a bias of -1 here
        whole = [(side - 1) * by + 1 for side, by in zip(window, dilation)]
        places = self.places(whole, steps, padding)
        self.current = self.result((1, *places, rows), scale, -128 if activation else None, "dw")
        options = {"strideH": steps[0], "strideW": steps[1], "padding": padding}
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
        options |= {"fusedActivationFunction": activation, "depthMultiplier": multiplier}
        self.writer.operator("DEPTHWISE_CONV_2D", inputs, [self.current], "DepthwiseConv2DOptions", **options)

    def pool(self, kind, window, steps=(1, 1), padding=0, activation=0):
        """AVERAGE_POOL_2D or MAX_POOL_2D."""
        places, source = self.places(window, steps, padding), self.current
        self.current = self.result((1, *places, self.shape[3]), self.scale, self.zero, "pool")
        options = {"strideH": steps[0], "strideW": steps[1], "padding": padding}
        options |= {
            "filterHeight": window[0],
            "filterWidth": window[1],
            "fusedActivationFunction": activation,
        }
        self.writer.operator(kind, [source], [self.current], "Pool2DOptions", **options)

    def mean(self, axes, keep, same, kind="MEAN"):
        """MEAN, or SUM."""
        inputs = [self.current, self.constant(axes)]
        kept = [1 if axis in axes else size for axis, size in enumerate(self.shape)]
        shape = kept if keep else [size for axis, size in enumerate(self.shape) if axis not in axes]
        scale = self.scale if same else self.scale * 2.0 ** self.generator.uniform(-2, 1)
        scale *= np.prod(self.shape) / np.prod(shape) / 2 if kind == "SUM" else 1
        self.current = self.result(shape, float(np.float32(scale)), self.zero if same else None, "mean")
        self.writer.operator(kind, inputs, [self.current], "ReducerOptions", keepDims=keep)

    def softmax(self, beta=1.0):
        """SOFTMAX."""
        source = self.current
        self.current = self.result(self.shape, 1 / 256, -128, "softmax")
        self.writer.operator("SOFTMAX", [source], [self.current], "SoftmaxOptions", beta=beta)


def _image(generator, most=9, channels=24):
    size = generator.integers(1, most + 1, 2)
    return (1, int(size[0]), int(size[1]), int(generator.integers(1, channels + 1)))


def _window(generator, shape, padding, most=4):
    window = generator.integers(1, most + 1, 2)
    if padding == 1:
        window = np.minimum(window, shape[1:3])
    return tuple(int(side) for side in window), tuple(int(step) for step in generator.integers(1, 4, 2))


def conv(generator):
    """Any window, stride and padding; some with a PAD before it, some 1 × 1, some with activations."""
    net = Net(generator, _image(generator))
    padding, padded = int(generator.integers(2)), generator.random() < 0.3
    if padded:
        net.pad([(0, 0), *generator.integers(0, 3, (2, 2)).tolist(), (0, 0)])
    window, steps = _window(generator, net.shape, padding)
    if generator.random() < 0.25:
        window, steps = (1, 1), (1, 1)
    net.conv(int(generator.integers(1, 20)), window, steps, padding, _pick(generator, 0, 1, 3))
    return net.finish()


def dilated(generator):
    """Windows with places left out."""
    net = Net(generator, (1, int(generator.integers(7, 11)), int(generator.integers(7, 11)), 5))
    window = tuple(int(side) for side in generator.integers(1, 4, 2))
    dilation = tuple(int(factor) for factor in generator.integers(1, 4, 2))
    net.conv(int(generator.integers(1, 9)), window, (1, 1), int(generator.integers(2)), dilation=dilation)
    return net.finish()


def dilated_depthwise(generator):
    """The same channel by channel; some with several rows for each."""
    channels = int(generator.integers(1, 11))
    net = Net(generator, (1, int(generator.integers(7, 11)), int(generator.integers(7, 11)), channels))
    window = tuple(int(side) for side in generator.integers(1, 4, 2))
    dilation = tuple(int(factor) for factor in generator.integers(1, 4, 2))
    multiplier = int(_pick(generator, 1, 1, 2)) if channels <= 8 else 1
    net.depthwise(window, (1, 1), int(generator.integers(2)), 0, multiplier, dilation)
    return net.finish()


def pointwise(generator):
    """Single pixels of 8, 16, … channels."""
    size = generator.integers(1, 8, 2)
    net = Net(generator, (1, int(size[0]), int(size[1]), 8 * int(generator.integers(1, 5))))
    net.conv(int(generator.integers(1, 14)), (1, 1), (1, 1), int(generator.integers(2)))
    return net.finish()


def heavy(generator):
    """Weights as large as they can be, of one sign, −128 among them or not; up to 1,400 in a sum."""
    deep = int(_pick(generator, 5, 300, 511, 512, 513, 516, 1100, 1400))
    least = int(_pick(generator, -128, -127))
    rows = int(generator.integers(1, 14))
    signs = generator.random((rows, 1)) < 0.5
    values = np.where(signs, least, 127) * np.ones((rows, deep), np.int64)
    if generator.random() < 0.5:
        net = Net(generator, (1, deep))
        net.dense(rows, values)
    else:
        net = Net(generator, (1, 1, 3, deep))
        net.conv(rows, (1, 1), values=values.reshape(rows, 1, 1, deep))
    return net.finish()


def depthwise_3x3(generator):
    """The most usual window, over images narrower than it too."""
    size = generator.integers(1, 12, 2)
    net = Net(generator, (1, int(size[0]), int(size[1]), int(generator.integers(4, 14))))
    if generator.random() < 0.3:
        net.pad([(0, 0), *generator.integers(0, 4, (2, 2)).tolist(), (0, 0)])
    padding = 0 if min(net.shape[1:3]) < 3 else int(generator.integers(2))
    steps = tuple(int(step) for step in generator.integers(1, 4, 2))
    net.depthwise((3, 3), steps, padding, _pick(generator, 0, 1, 3))
    return net.finish()


def depthwise(generator):
    """As for convolutions; some with several rows for each channel."""
    shape = _image(generator)
    multiplier = int(_pick(generator, 1, 1, 1, 2, 5)) if shape[3] <= 8 else 1
    net = Net(generator, shape)
    padding = int(generator.integers(2))
    if generator.random() < 0.3:
        net.pad([(0, 0), *generator.integers(0, 3, (2, 2)).tolist(), (0, 0)])
    window, steps = _window(generator, net.shape, padding)
    net.depthwise(window, steps, padding, _pick(generator, 0, 1, 3), multiplier)
    return net.finish()


def pools(generator):
    """Both kinds, and windows of more than 255 values."""
    large = generator.random() < 0.15
    net = Net(generator, (1, 17, 18, 6) if large else _image(generator))
    padding = int(generator.integers(2))
    window, steps = _window(generator, net.shape, padding)
    kind = _pick(generator, "AVERAGE_POOL_2D", "MAX_POOL_2D")
    net.pool(kind, (17, 16) if large else window, steps, padding, _pick(generator, 0, 0, 1))
    return net.finish()


def mean(generator):
    """Over axes at any place, with the same scale at both ends and with others."""
    shape = _image(generator)
    net = Net(generator, shape)
    if generator.random() < 0.3:
        net = Net(generator, shape[1:])
        net.mean(
            list(_pick(generator, (2,), (0,), (1, 2), (1,))),
            generator.random() < 0.5,
            generator.random() < 0.5,
        )
    else:
        axes = _pick(generator, (1, 2), (1, 2), (1, 2), (3,), (1,), (2, 3), (1, 2, 3))
        net.mean(list(axes), generator.random() < 0.5, generator.random() < 0.4)
    return net.finish()


def total(generator):
    """A sum over axes."""
    net = Net(generator, _image(generator))
    axes = _pick(generator, (1, 2), (3,), (1,), (1, 2, 3))
    net.mean(list(axes), generator.random() < 0.5, generator.random() < 0.4, "SUM")
    return net.finish()


def softmax(generator):
    """Over up to 40 classes, of scales that cut the table short and that do not."""
    shape = (int(generator.integers(1, 6)), int(generator.integers(1, 40)))
    net = Net(generator, shape)
    net.softmax(float(_pick(generator, 1.0, 1.0, 0.5)))
    return net.finish()


def pad(generator):
    """A PAD that stands alone, of any axes."""
    net = Net(generator, _image(generator))
    net.pad([(0, 0), *generator.integers(0, 3, (3, 2)).tolist()])
    return net.finish()


def _second(net, generator, shape, constant):
    """Another source: a constant, or the first one through a table."""
    scale, zero = _scale(generator), _zero(generator)
    if constant:
        values = generator.integers(-128, 128, shape)
        return net.writer.tensor("k", shape, "int8", [scale], [zero], values)
    place = net.writer.tensor("second", shape, "int8", [1 / 128], [0])
    net.writer.operator("TANH", [net.first], [place])
    return place


def _pair(kinds, option, same=False):
    def build(generator):
        net = Net(generator, _image(generator, 6, 12))
        shape, scale, zero = net.shape, net.scale, net.zero
        constant = generator.random() < 0.5
        if constant:
            keep = generator.random(4) < _pick(generator, 0.0, 0.5, 1.0)
            if generator.random() < 0.4:
                keep = [False, False, False, True]
            shape = tuple(size if kept else 1 for size, kept in zip(shape, keep))
        kind = _pick(generator, *kinds)
        if same:
            values = generator.integers(-128, 128, shape)
            other = net.writer.tensor("k", shape, "int8", [scale], [zero], values)
            result = net.result(net.shape, scale, zero)
        else:
            other = _second(net, generator, shape, constant)
            two = net.writer.tensors[other].quantization.scale[0]
            span = {"MUL": 90 * scale * two, "SQUARED_DIFFERENCE": 120 * max(scale, two) ** 2}
            wide = span.get(kind, 1.5 * max(scale, two))
            result = net.result(net.shape, float(np.float32(wide * 2.0 ** generator.uniform(-1, 1))))
        inputs = [net.current, other] if generator.random() < 0.7 else [other, net.current]
        net.current = result
        options = {} if option is None else {"options_name": option}
        if option and option != "SquaredDifferenceOptions" and not same:
            options["fusedActivationFunction"] = _pick(generator, 0, 0, 1)
        net.writer.operator(kind, inputs, [result], **options)
        return net.finish()

    return build


def divide(generator):
    """By a constant, or by a value for each row or each channel; none of them zero."""
    net = Net(generator, _image(generator, 6, 12))
    shape, source = net.shape, net.scale
    kept = generator.random(4) < _pick(generator, 0.0, 0.5, 1.0)
    small = tuple(size if keep else 1 for size, keep in zip(shape, kept))
    zero = int(_pick(generator, -128, 127, 5))
    values = generator.integers(-128, 128, small)
    values[values == zero] = zero + (1 if zero < 0 else -1)
    wide = np.float32(source * 2.0 ** generator.uniform(-2, 2))
    other = net.writer.tensor("k", small, "int8", [wide], [zero], values)
    net.current = net.result(shape, float(np.float32(source / wide / 2.0 ** generator.uniform(6, 9))))
    inputs, options = [net.first, other], {"fusedActivationFunction": _pick(generator, 0, 0, 1)}
    net.writer.operator("DIV", inputs, [net.current], "DivOptions", **options)
    return net.finish()


def select(generator):
    """The one or the other by a comparison, constants among them."""
    net = Net(generator, _image(generator, 6, 12))
    shape, scale, zero = net.shape, net.scale, net.zero
    small = tuple(size if kept else 1 for size, kept in zip(shape, generator.random(4) < 0.5))
    other = _second(net, generator, small if generator.random() < 0.5 else shape, True)
    if generator.random() < 0.3:
        other = _second(net, generator, shape, False)
    kind = _pick(generator, "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL")
    truth = net.writer.tensor("truth", shape, "bool")
    sides = [net.first, other] if generator.random() < 0.6 else [other, net.first]
    net.writer.operator(kind, sides, [truth], f"{kind.title().replace('_', '')}Options")
    values = generator.integers(-128, 128, (1, 1, 1, shape[3]))
    third = net.writer.tensor("v", values.shape, "int8", [scale], [zero], values)
    chosen = [net.first, third] if generator.random() < 0.5 else [third, net.first]
    net.current = net.result(shape, scale, zero)
    net.writer.operator("SELECT_V2", [truth, *chosen], [net.current], "SelectV2Options")
    return net.finish()


def vectors(generator):
    """A fully connected layer over several vectors."""
    net = Net(generator, (1, int(generator.integers(2, 7)), int(generator.integers(1, 30))))
    rows = int(generator.integers(1, 12))
    inputs, scale = net.weights((rows, net.shape[2]), 0, net.shape[2])
    net.current = net.result((*net.shape[:2], rows), scale, None, "fc")
    net.writer.operator("FULLY_CONNECTED", inputs, [net.current], "FullyConnectedOptions", keepNumDims=True)
    return net.finish()


def moves(generator):
    """Transposes, slices with and without steps, splits, concatenations."""
    net = Net(generator, (1, *(int(size) for size in generator.integers(2, 7, 3))))
    for _ in range(int(generator.integers(1, 4))):
        kind = _pick(generator, "TRANSPOSE", "SLICE", "STRIDED_SLICE", "CONCATENATION", "SPLIT", "PACK")
        source, shape = net.current, net.shape
        if kind == "TRANSPOSE":
            order = [0, *(1 + generator.permutation(3)).tolist()]
            inputs = [source, net.constant(order)]
            net.current = net.result([shape[axis] for axis in order], net.scale, net.zero)
            net.writer.operator(kind, inputs, [net.current])
        elif kind == "SLICE":
            begin = [int(generator.integers(0, size)) for size in shape]
            size = [int(generator.integers(1, whole - first + 1)) for whole, first in zip(shape, begin)]
            inputs = [source, net.constant(begin), net.constant(size)]
            net.current = net.result(size, net.scale, net.zero)
            net.writer.operator(kind, inputs, [net.current])
        elif kind == "STRIDED_SLICE":
            begin = [int(generator.integers(0, size)) for size in shape]
            end = [int(generator.integers(first + 1, size + 1)) for size, first in zip(shape, begin)]
            step = [int(generator.integers(1, 3)) for _ in shape]
            size = [-(-(last - first) // by) for first, last, by in zip(begin, end, step)]
            mask = int(generator.integers(0, 16))
            size = [
                -(-last // by) if mask >> axis & 1 else whole
                for axis, (whole, last, by) in enumerate(zip(size, end, step))
            ]
            inputs = [source, net.constant(begin), net.constant(end), net.constant(step)]
            net.current = net.result(size, net.scale, net.zero)
            net.writer.operator(kind, inputs, [net.current], "StridedSliceOptions", beginMask=mask)
        elif kind == "PACK":
            axis = int(generator.integers(1, 4))
            parts = [
                net.result([*shape[:axis], *shape[axis + 1 :]], net.scale, net.zero)
                for _ in range(shape[axis])
            ]
            named = _pick(generator, axis, axis - 4)
            net.writer.operator("UNPACK", [source], parts, "UnpackOptions", num=shape[axis], axis=named)
            net.current = net.result(shape, net.scale, net.zero)
            options = {"valuesCount": shape[axis], "axis": named}
            net.writer.operator("PACK", parts[::-1], [net.current], "PackOptions", **options)
        elif kind == "CONCATENATION":
            axis = int(generator.integers(1, 4))
            net.current = net.result(
                [size * (1 + (n == axis)) for n, size in enumerate(shape)], net.scale, net.zero
            )
            named = _pick(generator, axis, axis - 4)
            net.writer.operator(kind, [source, source], [net.current], "ConcatenationOptions", axis=named)
        elif shape[3] % 2 == 0:
            half = [*shape[:3], shape[3] // 2]
            axis = net.constant(_pick(generator, 3, -1))
            parts = [net.result(half, net.scale, net.zero) for _ in range(2)]
            net.writer.operator(kind, [axis, source], parts, "SplitOptions", numSplits=2)
            net.current = net.result(shape, net.scale, net.zero)
            net.writer.operator("CONCATENATION", parts[::-1], [net.current], "ConcatenationOptions", axis=3)
    target = net.result(net.shape, 1 / 128, 0)
    net.writer.operator("TANH", [net.current], [target])
    net.current = target
    return net.finish()


def tokens(generator, kind=Net):
    """Constants beside activations: before them or behind them, along any axis; of int8 packed with them too."""
    net = kind(generator, (1, *(int(size) for size in generator.integers(1, 7, 3))))
    for _ in range(int(generator.integers(1, 3))):
        source, shape, axis = net.current, net.shape, int(generator.integers(1, 4))
        if kind is Net and generator.random() < 0.3:
            rest = [shape[0], *shape[2:]]
            parts = [net.result(rest, net.scale, net.zero) for _ in range(shape[1])]
            net.writer.operator("UNPACK", [source], list(parts), "UnpackOptions", num=len(parts), axis=1)
            parts.insert(int(generator.integers(0, len(parts) + 1)), net.learnt(rest))
            net.current = net.result([shape[0], len(parts), *shape[2:]], net.scale, net.zero)
            options = {"valuesCount": len(parts), "axis": 1}
            net.writer.operator("PACK", parts, [net.current], "PackOptions", **options)
            continue
        counts = [int(count) for count in generator.integers(1, 9, int(generator.integers(1, 3)))]
        learnt = [net.learnt([c if n == axis else s for n, s in enumerate(shape)]) for c in counts]
        inputs = [source, *learnt] if generator.random() < 0.5 else [*learnt, source]
        total = [size + sum(counts) * (n == axis) for n, size in enumerate(shape)]
        net.current = net.result(total, net.scale, net.zero)
        net.writer.operator("CONCATENATION", inputs, [net.current], "ConcatenationOptions", axis=axis)
    return net.finish()


def batch_matmul(generator):
    """x · yᵀ by batches, y being tanh(x) or a constant; either side transposed, either first."""
    net = Net(
        generator, (int(generator.integers(1, 4)), *(int(size) for size in generator.integers(1, 9, 2)))
    )
    other = _second(net, generator, net.shape, generator.random() < 0.5)
    flip = bool(generator.integers(2))
    side = net.shape[2] if flip else net.shape[1]
    inputs = [net.current, other] if generator.random() < 0.5 else [other, net.current]
    net.current = net.result(
        (net.shape[0], side, side), float(np.float32(net.scale * generator.uniform(0.3, 2)))
    )
    net.writer.operator("BATCH_MATMUL", inputs, [net.current], "BatchMatMulOptions", adjX=flip, adjY=not flip)
    return net.finish()


def product(generator):
    """A fully connected layer whose weights are another activation."""
    net = Net(generator, tuple(int(size) for size in generator.integers(1, 9, 2)))
    inputs, rows = [net.current, _second(net, generator, net.shape, False)], net.shape[0]
    net.current = net.result((rows, rows), float(np.float32(net.scale * generator.uniform(0.3, 2))))
    net.writer.operator("FULLY_CONNECTED", inputs, [net.current], "FullyConnectedOptions")
    return net.finish()


BUILDERS = {
    "conv": conv,
    "dilated": dilated,
    "dilated_depthwise": dilated_depthwise,
    "pointwise": pointwise,
    "heavy": heavy,
    "depthwise": depthwise,
    "depthwise_3x3": depthwise_3x3,
    "pools": pools,
    "mean": mean,
    "total": total,
    "softmax": softmax,
    "pad": pad,
    "add": _pair(("ADD",), "AddOptions"),
    "sub": _pair(("SUB",), "SubOptions"),
    "mul": _pair(("MUL",), "MulOptions"),
    "squared_difference": _pair(("SQUARED_DIFFERENCE",), "SquaredDifferenceOptions"),
    "extreme": _pair(("MAXIMUM", "MINIMUM"), "MaximumMinimumOptions", same=True),
    "divide": divide,
    "select": select,
    "vectors": vectors,
    "moves": moves,
    "tokens": tokens,
    "product": product,
    "batch_matmul": batch_matmul,
}
"""Kind of network → its builder: generator → .tflite. Every one is tested by being listed here."""
