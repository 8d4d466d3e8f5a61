"""Random networks of int16 and of float32 activations that exercise every kernel of these types."""

from collections.abc import Callable

import numpy as np
from probe_networks import Chain

from secateur.network import Network, Operator, Quantization, Tensor
from secateur.operators.curve.rule import CURVES, SERIES

_SCALE, _FINE = Quantization((0.0002,), (0,)), Quantization((1 / (1 << 15),), (0,))


class Typed(Chain):
    """Operators one after the other, of int16 or float32."""

    def __init__(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> None:
        super().__init__(generator, shape)
        self.dtype = dtype
        self.tensors[0] = Tensor("in", shape, dtype, self.of_type(_SCALE))

    def of_type(self, quantization: Quantization) -> Quantization | None:
        """None of float32."""
        return quantization if self.dtype == "int16" else None

    def apply(
        self, kind: str, shape: tuple[int, ...], constants: tuple[int, ...] = (), quantization=None, **options
    ) -> None:
        """An operator on the last result."""
        scale = self.of_type(quantization or _SCALE)
        result = self.add(Tensor(f"{kind.lower()}{len(self.tensors)}", shape, self.dtype, scale))
        self.operators.append(Operator(kind, (self.current, *constants), (result,), options))
        self.current = result

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[int, int]:
        """Weights and a bias."""
        rows = shape[axis]
        if self.dtype == "float32":
            parts = [self.generator.normal(0, 0.3, size).astype(np.float32) for size in (shape, (rows,))]
            names = f"w{len(self.tensors)}", f"b{len(self.tensors)}"
            first, second = (
                self.add(Tensor(name, part.shape, "float32", None, True, part))
                for name, part in zip(names, parts)
            )
            return first, second
        matrix, bias = super().weights(shape, axis)
        old = self.tensors[bias]
        assert old.data is not None
        self.tensors[bias] = Tensor(old.name, old.shape, "int64", None, True, old.data.astype(np.int64))
        return matrix, bias


def _log(generator: np.random.Generator, most: int) -> int:
    return round(2 ** generator.uniform(0, np.log2(most)))


def _image(generator: np.random.Generator, dtype: str) -> Typed:
    sides = generator.integers(2, 9, 2)
    return Typed(generator, (1, int(sides[0]), int(sides[1]), _log(generator, 16)), dtype)


Build = Callable[[np.random.Generator], Network]


def _dense(dtype: str) -> Build:
    def build(generator: np.random.Generator) -> Network:
        chain = Typed(generator, (1, _log(generator, 200)), dtype)
        for _ in range(int(generator.integers(1, 4))):
            chain.dense(_log(generator, 100))
        return chain.finish()

    return build


def _slide(dtype: str, kinds: tuple[str, ...]) -> Build:
    def build(generator: np.random.Generator) -> Network:
        chain = _image(generator, dtype)
        window = tuple(int(min(side, generator.integers(1, 5))) for side in chain.shape[1:3])
        kind, padding, dilation = str(generator.choice(kinds)), int(generator.integers(2)), 1
        if "CONV" in kind and generator.random() < 0.3:
            padding, dilation = 0, 2
        chain.slide(kind, _log(generator, 16), window, int(generator.integers(1, 3)), padding, 0, dilation)
        return chain.finish()

    return build


def _mean(dtype: str) -> Build:
    def build(generator: np.random.Generator) -> Network:
        chain = _image(generator, dtype)
        axes, shape = ([1, 2], (1, chain.shape[3])) if generator.random() < 0.6 else ([3], chain.shape[:3])
        chain.apply("MEAN" if generator.random() < 0.7 else "SUM", shape, (chain.constant(axes),))
        return chain.finish()

    return build


def _pair(dtype: str, kind: str) -> Build:
    def build(generator: np.random.Generator) -> Network:
        chain = _image(generator, dtype)
        data = generator.integers(-30000, 30000, chain.shape[3] if generator.random() < 0.5 else chain.shape)
        values = data.astype(dtype) if dtype == "int16" else (data / 10000).astype(np.float32)
        other = chain.add(Tensor("k", values.shape, dtype, chain.of_type(_SCALE), True, values))
        chain.apply(kind, chain.shape, (other,))
        return chain.finish()

    return build


def _curve(kinds: tuple[str, ...]) -> Build:
    def build(generator: np.random.Generator) -> Network:
        chain = Typed(generator, (1, _log(generator, 400)), "int16")
        kind = str(generator.choice(kinds))
        fine = _FINE if kind in ("TANH", "LOGISTIC") else None
        if kind == "RSQRT":
            chain.apply("ABS", chain.shape)
        chain.apply(kind, chain.shape, quantization=fine, alpha=0.3)
        return chain.finish()

    return build


def _curves(kinds: tuple[str, ...]) -> Build:
    """All of them of one source; the roots, of its square."""

    def build(generator: np.random.Generator) -> Network:
        chain = Typed(generator, (1, _log(generator, 400)), "float32")
        chain.apply("SQUARE", chain.shape)
        square = chain.current
        for kind in kinds:
            chain.current = square if kind in ("SQRT", "RSQRT", "LOG") else 0
            chain.apply(kind, chain.shape, alpha=0.3)
        return chain.finish()

    return build


def _softmax(dtype: str) -> Build:
    def build(generator: np.random.Generator) -> Network:
        chain = Typed(generator, (int(generator.integers(1, 8)), int(generator.integers(2, 40))), dtype)
        chain.apply("SOFTMAX", chain.shape, quantization=_FINE, beta=1.0)
        return chain.finish()

    return build


def _matmul(dtype: str) -> Build:
    def build(generator: np.random.Generator) -> Network:
        shape = tuple(int(size) for size in generator.integers(1, 16, 3))
        chain = Typed(generator, shape, dtype)
        chain.apply("BATCH_MATMUL", (shape[0], shape[1], shape[1]), (0,), adjX=False, adjY=True)
        return chain.finish()

    return build


def _select(dtype: str) -> Build:
    """The input or a value for each channel, by constants, or of float32 by whether it is above that value."""

    def build(generator: np.random.Generator) -> Network:
        chain = _image(generator, dtype)
        shape, real = chain.shape, dtype == "float32"
        data = generator.integers(-30000, 30000, shape[3]).astype(dtype)
        other = chain.add(Tensor("k", data.shape, dtype, chain.of_type(_SCALE), True, data))
        truths = generator.integers(0, 2, shape).astype(bool)
        truth = chain.add(Tensor("truth", shape, "bool", None, not real, None if real else truths))
        if real:
            chain.operators.append(Operator("GREATER", (0, other), (truth,), {}))
        result = chain.add(Tensor("chosen", shape, dtype, chain.of_type(_SCALE)))
        chain.operators.append(Operator("SELECT_V2", (truth, 0, other), (result,), {}))
        chain.current = result
        return chain.finish()

    return build


def _convert(generator: np.random.Generator) -> Network:
    chain = Typed(generator, (1, _log(generator, 400)), "float32")
    whole = chain.add(Tensor("whole", chain.shape, "int16", _SCALE))
    chain.operators.append(Operator("QUANTIZE", (0,), (whole,), {}))
    chain.current = whole
    chain.apply("DEQUANTIZE", chain.shape)
    return chain.finish()


def _probes(dtype: str) -> dict[str, Build]:
    return {
        "dense": _dense(dtype),
        "conv": _slide(dtype, ("CONV_2D",)),
        "depthwise": _slide(dtype, ("DEPTHWISE_CONV_2D",)),
        "pool": _slide(dtype, ("AVERAGE_POOL_2D", "MAX_POOL_2D")),
        "mean": _mean(dtype),
        "add": _pair(dtype, "ADD"),
        "multiply": _pair(dtype, "MUL"),
        "softmax": _softmax(dtype),
        "matmul": _matmul(dtype),
        "select": _select(dtype),
    }


TYPED: dict[str, dict[str, Build]] = {
    "int16": {
        **_probes("int16"),
        "extreme": _pair("int16", "MAXIMUM"),
        "sigmoid": _curve(("TANH", "LOGISTIC")),
        "rescale": _curve(("RELU", "LEAKY_RELU", "ABS")),
        "squares": _pair("int16", "SQUARED_DIFFERENCE"),
        "roots": _curve(("RSQRT",)),
    },
    "float32": {
        **_probes("float32"),
        "curve": _curves(CURVES),
        "series": _curves(SERIES),
        "convert": _convert,
    },
}
"""Type → kind of network → its builder."""
