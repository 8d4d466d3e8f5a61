"""Random int8 networks that exercise every kernel, for fitting and checking the cost model."""

from collections.abc import Callable

import numpy as np

from secateur.network import Network, Operator, Quantization, Tensor
from secateur.operators.lower import lower
from secateur.operators.patch.rule import chain, result_window
from secateur.operators.program import Patches


class Chain:
    """Operators one after the other, from one input."""

    def __init__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> None:
        self.generator = generator
        self.tensors = [Tensor("in", shape, "int8", Quantization((0.05,), (3,)))]
        self.operators: list[Operator] = []
        self.current = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the last result."""
        return self.tensors[self.current].shape

    def add(self, tensor: Tensor) -> int:
        """A tensor's index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, values: list) -> int:
        """A constant of int32."""
        data = np.array(values, np.int32)
        return self.add(Tensor(f"c{len(self.tensors)}", data.shape, "int32", None, True, data))

    def apply(
        self, kind: str, shape: tuple[int, ...], constants: tuple[int, ...] = (), quantization=None, **options
    ) -> None:
        """An operator on the last result."""
        quantization = quantization or Quantization((0.1,), (5,))
        result = self.add(Tensor(f"{kind.lower()}{len(self.tensors)}", shape, "int8", quantization))
        self.operators.append(Operator(kind, (self.current, *constants), (result,), options))
        self.current = result

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[int, int]:
        """Weights and a bias."""
        rows = shape[axis]
        matrix = self.generator.integers(-127, 128, shape, dtype=np.int8)
        scales = Quantization((0.01,) * rows, (0,) * rows, axis)
        bias = self.generator.integers(-1000, 1000, rows, dtype=np.int32)
        return (
            self.add(Tensor(f"w{len(self.tensors)}", shape, "int8", scales, True, matrix)),
            self.add(Tensor(f"b{len(self.tensors)}", (rows,), "int32", None, True, bias)),
        )

    def dense(self, rows: int, activation: int = 0) -> None:
        """FULLY_CONNECTED; its activation needs a clamp."""
        columns = int(np.prod(self.shape))
        self.apply(
            "FULLY_CONNECTED", (1, rows), self.weights((rows, columns), 0), fusedActivationFunction=activation
        )

    def slide(
        self,
        kind: str,
        rows: int,
        window: tuple[int, int],
        step: int,
        padding: int,
        activation: int = 0,
        dilation: int = 1,
    ):
        """A convolution, a depthwise convolution or a pool."""
        sides = self.shape[1:3]
        places = [
            -(-size // step) if padding == 0 else (size - (side - 1) * dilation - 1) // step + 1
            for size, side in zip(sides, window)
        ]
        options = {
            "strideH": step,
            "strideW": step,
            "padding": padding,
            "fusedActivationFunction": activation,
        }
        if dilation > 1:
            options |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
        constants: tuple[int, ...] = ()
        if kind == "CONV_2D":
            constants = self.weights((rows, *window, self.shape[3]), 0)
        elif kind == "DEPTHWISE_CONV_2D":
            rows = self.shape[3]
            constants = self.weights((1, *window, rows), 3)
        else:
            rows = self.shape[3]
            options |= {"filterHeight": window[0], "filterWidth": window[1]}
        self.apply(kind, (1, *places, rows), constants, **options)

    def finish(self) -> Network:
        """The network."""
        return Network(
            tuple(self.tensors), tuple(self.operators), {"observation": 0}, {"action": self.current}
        )


def _log(generator: np.random.Generator, most: int) -> int:
    return round(2 ** generator.uniform(0, np.log2(most)))


def _image(generator: np.random.Generator, side: int = 12, channels: int = 40) -> Chain:
    sides = generator.integers(2, side + 1, 2)
    return Chain(generator, (1, int(sides[0]), int(sides[1]), _log(generator, channels)))


def dense(generator: np.random.Generator) -> Network:
    """One to six fully connected layers; some with a clamped activation, some followed by a table."""
    chain = Chain(generator, (1, _log(generator, 260)))
    for _ in range(int(generator.integers(1, 7))):
        chain.dense(_log(generator, 260), int(generator.random() < 0.3))
        if generator.random() < 0.1:  # sums that are scaled up
            last = chain.tensors[chain.current]
            narrow = Quantization((0.0003,), (5,))
            chain.tensors[chain.current] = Tensor(last.name, last.shape, last.dtype, narrow)
        if generator.random() < 0.3:
            chain.apply("TANH", chain.shape, quantization=Quantization((1 / 128,), (0,)))
    return chain.finish()


def conv(generator: np.random.Generator) -> Network:
    """One or two convolutions."""
    chain = _image(generator)
    for _ in range(int(generator.integers(1, 3))):
        padding = int(generator.integers(2))
        window = tuple(int(min(side, generator.integers(1, 5))) for side in chain.shape[1:3])
        chain.slide("CONV_2D", _log(generator, 40), window, int(generator.integers(1, 3)), padding)
    return chain.finish()


def pointwise(generator: np.random.Generator) -> Network:
    """A convolution of single pixels of 8, 16, … channels."""
    sides = generator.integers(1, 13, 2)
    chain = Chain(generator, (1, int(sides[0]), int(sides[1]), 8 * int(generator.integers(1, 9))))
    chain.slide("CONV_2D", _log(generator, 60) + 1, (1, 1), 1, 0)
    return chain.finish()


def conv_wide(generator: np.random.Generator) -> Network:
    """Convolutions with a weight of −128."""
    chain = _image(generator)
    for _ in range(int(generator.integers(1, 3))):
        window = tuple(int(min(side, generator.integers(1, 5))) for side in chain.shape[1:3])
        rows = _log(generator, 40)
        chain.slide("CONV_2D", rows, window, int(generator.integers(1, 3)), int(generator.integers(2)))
        weights = chain.tensors[chain.operators[-1].inputs[1]].data
        assert weights is not None
        weights[-1, 0, 0, 0] = -128
    return chain.finish()


def depthwise(side: int) -> Callable[[np.random.Generator], Network]:
    """A depthwise convolution of four channels and more, with a window of this side or, if 0, of any."""

    def build(generator: np.random.Generator) -> Network:
        sides = generator.integers(max(side, 2), 13, 2)
        chain = Chain(generator, (1, int(sides[0]), int(sides[1]), int(generator.integers(4, 50))))
        window = tuple(side or int(min(size, generator.integers(1, 8))) for size in chain.shape[1:3])
        chain.slide("DEPTHWISE_CONV_2D", 0, window, int(generator.integers(1, 3)), int(generator.integers(2)))
        return chain.finish()

    return build


def pool(kind: str) -> Callable[[np.random.Generator], Network]:
    """A pool; some of fewer than four channels."""

    def build(generator: np.random.Generator) -> Network:
        chain = _image(generator)
        window = tuple(int(min(side, generator.integers(1, 5))) for side in chain.shape[1:3])
        chain.slide(kind, 0, window, int(generator.integers(1, 4)), int(generator.integers(2)))
        return chain.finish()

    return build


def large_pool(generator: np.random.Generator) -> Network:
    """A mean of more values than 16 bits can sum; of some, and of fewer at the edges."""
    chain = Chain(generator, (1, *(int(side) for side in generator.integers(16, 22, 2)), _log(generator, 40)))
    if generator.random() < 0.5:
        chain.slide("AVERAGE_POOL_2D", 0, chain.shape[1:3], 1, 1)
    else:
        chain.slide("AVERAGE_POOL_2D", 0, (16, 16), int(generator.integers(1, 4)), 0)
    return chain.finish()


def mean(generator: np.random.Generator) -> Network:
    """A mean over height and width, or over the last axis."""
    chain = _image(generator)
    shape, target = chain.shape, Quantization((0.05 * 2.0 ** generator.uniform(-2, 2),), (5,))
    if generator.random() < 0.6:
        chain.apply("MEAN", (1, shape[3]), (chain.constant([1, 2]),), target)
    else:
        chain.apply("MEAN", shape[:3], (chain.constant([3]),), target)
    return chain.finish()


def softmax(generator: np.random.Generator) -> Network:
    """A softmax over rows."""
    chain = Chain(generator, (int(generator.integers(1, 8)), int(generator.integers(2, 60))))
    chain.apply("SOFTMAX", chain.shape, quantization=Quantization((1 / 256,), (-128,)), beta=1.0)
    return chain.finish()


def pad(generator: np.random.Generator) -> Network:
    """A PAD of its own."""
    chain = _image(generator)
    amounts = [[0, 0], *generator.integers(0, 3, (3, 2)).tolist()]
    shape = tuple(size + sum(pair) for size, pair in zip(chain.shape, amounts))
    chain.apply("PAD", shape, (chain.constant(amounts),), quantization=chain.tensors[0].quantization)
    return chain.finish()


def table(generator: np.random.Generator) -> Network:
    """One table."""
    chain = Chain(generator, (1, _log(generator, 3000)))
    chain.apply("TANH", chain.shape, quantization=Quantization((1 / 128,), (0,)))
    return chain.finish()


def pair(kind: str) -> Callable[[np.random.Generator], Network]:
    """Two sources: the input and its table, or the input and a value for each channel."""

    def build(generator: np.random.Generator) -> Network:
        chain = _image(generator)
        source = chain.tensors[0].quantization
        if kind == "MAXIMUM" or generator.random() < 0.5:
            scale = Quantization((0.05,), (3,))
            values = generator.integers(-128, 128, chain.shape[3], dtype=np.int8)
            other = chain.add(Tensor("k", values.shape, "int8", scale, True, values))
        else:
            chain.apply("TANH", chain.shape, quantization=Quantization((1 / 128,), (0,)))
            other, chain.current = chain.current, 0
        target = source if kind == "MAXIMUM" else Quantization((1 / 128 if kind == "DIV" else 0.2,), (3,))
        chain.apply(kind, chain.shape, (other,), quantization=target)
        return chain.finish()

    return build


def select(generator: np.random.Generator) -> Network:
    """The input where it is above a value for each channel, else that value; or above its table."""
    chain = _image(generator)
    scale = Quantization((0.05,), (3,))
    if generator.random() < 0.5:
        values = generator.integers(-128, 128, chain.shape[3], dtype=np.int8)
        other = chain.add(Tensor("k", values.shape, "int8", scale, True, values))
    else:
        chain.apply("TANH", chain.shape, quantization=Quantization((1 / 128,), (0,)))
        other, chain.current = chain.current, 0
    truth = chain.add(Tensor("truth", chain.shape, "bool"))
    chain.operators.append(Operator("GREATER", (0, other), (truth,), {}))
    result = chain.add(Tensor("chosen", chain.shape, "int8", scale))
    chain.operators.append(Operator("SELECT_V2", (truth, 0, other), (result,), {}))
    chain.current = result
    return chain.finish()


def moves(generator: np.random.Generator) -> Network:
    """A transpose, or a concatenation with itself."""
    chain = _image(generator)
    shape, source = chain.shape, chain.tensors[0].quantization
    if generator.random() < 0.5:
        order = [0, *(1 + generator.permutation(3)).tolist()]
        shape = tuple(shape[axis] for axis in order)
        chain.apply("TRANSPOSE", shape, (chain.constant(order),), quantization=source)
    else:
        axis = int(generator.integers(1, 4))
        shape = tuple(size * (1 + (axis == place)) for place, size in enumerate(shape))
        chain.apply("CONCATENATION", shape, (chain.current,), quantization=source, axis=axis)
    if not any(step for step in chain.operators if step.kind == "CONCATENATION"):
        chain.apply("TANH", shape, quantization=Quantization((1 / 128,), (0,)))
    return chain.finish()


def batch_matmul(generator: np.random.Generator) -> Network:
    """X · xᵀ by batches."""
    shape = tuple(int(size) for size in generator.integers(1, 20, 3))
    chain = Chain(generator, shape)
    chain.apply("BATCH_MATMUL", (shape[0], shape[1], shape[1]), (0,), adjX=False, adjY=True)
    return chain.finish()


def cnn(generator: np.random.Generator) -> Network:
    """Convolutions, depthwise ones and pools, then a mean, fully connected layers and a softmax."""
    chain = Chain(generator, (1, 16, 16, int(generator.integers(1, 5))))
    for _ in range(int(generator.integers(2, 5))):
        kind = generator.choice(["CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"])
        side = int(generator.integers(1, 4)) if "CONV" in kind else 2
        if kind == "DEPTHWISE_CONV_2D" and chain.shape[3] < 4:
            kind = "CONV_2D"
        chain.slide(str(kind), int(generator.integers(4, 40)), (side, side), int(generator.integers(1, 3)), 0)
    chain.apply("MEAN", (1, chain.shape[3]), (chain.constant([1, 2]),))
    chain.dense(int(generator.integers(2, 60)))
    chain.dense(int(generator.integers(2, 20)))
    chain.apply("SOFTMAX", chain.shape, quantization=Quantization((1 / 256,), (-128,)), beta=1.0)
    return chain.finish()


def pools(generator: np.random.Generator) -> Network:
    """Two or three pools of the largest, to be carried out by patches."""
    chain = _image(generator, 20)
    for _ in range(int(generator.integers(2, 4))):
        window = tuple(int(min(side, generator.integers(1, 4))) for side in chain.shape[1:3])
        chain.slide("MAX_POOL_2D", 0, window, int(generator.integers(1, 3)), int(generator.integers(2)))
    return chain.finish()


def patches_of(network: Network, generator: np.random.Generator) -> tuple[Patches, ...]:
    """All of a network of pools by patches of a drawn size."""
    program = lower(network)
    window = result_window(chain(program, 0))
    sides = (window.target_height, window.target_width)
    height, width = (int(generator.integers(1, side + 1)) for side in sides)
    return (Patches(program.steps[0].label, program.steps[-1].label, height, width),)


PROBES: dict[str, Callable[[np.random.Generator], Network]] = {
    "dense": dense,
    "conv": conv,
    "pointwise": pointwise,
    "conv_wide": conv_wide,
    "conv_by_size": conv,
    "depthwise": depthwise(0),
    "depthwise_rows": depthwise(0),
    "depthwise_3x3": depthwise(3),
    "average_pool": pool("AVERAGE_POOL_2D"),
    "average_pool_large": large_pool,
    "max_pool": pool("MAX_POOL_2D"),
    "mean": mean,
    "softmax": softmax,
    "pad": pad,
    "table": table,
    "add": pair("ADD"),
    "multiply": pair("MUL"),
    "squared_difference": pair("SQUARED_DIFFERENCE"),
    "divide": pair("DIV"),
    "extreme": pair("MAXIMUM"),
    "select": select,
    "moves": moves,
    "batch_matmul": batch_matmul,
    "patch_read": pools,
    "patch_write": pools,
    "cnn": cnn,
    "cnn_by_size": cnn,
}
"""Kind of network → its builder."""

BY_SIZE = ("conv_by_size", "depthwise", "cnn_by_size")
"""Kinds that are generated for size."""

BY_PATCHES = ("patch_read", "patch_write")
"""Kinds that are carried out by patches."""
