"""int8 networks for measuring kernels: single layers, and whole ones with the shapes of MLPerf Tiny's.

Weights are random; scales are such that results neither vanish nor saturate.
"""

from collections.abc import Callable

import numpy as np
from probe_networks import Chain

from secateur.network import Network, Quantization, Tensor

RELU = 1


class Scaled(Chain):
    """A chain whose every layer maps the range of int8 onto itself; a layer with an activation starts at zero."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0, per_row: bool = True) -> None:
        super().__init__(np.random.default_rng(seed), shape)
        self.per_row = per_row

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[int, int]:
        """Weights of a spread that shrinks with the number of products in a sum."""
        rows = shape[axis]
        reach = np.prod(shape) / rows
        matrix = np.clip(self.generator.normal(0, 40, shape).round(), -127, 127).astype(np.int8)
        spread = 2.0 ** self.generator.uniform(-0.5, 0.5, rows) if self.per_row else np.ones(1)
        source = self.tensors[self.current].quantization
        assert source is not None
        scales = spread * 0.1 / (source.scales[0] * 40 * reach**0.5 * 1.5)
        quantization = Quantization(tuple(scales.tolist()), (0,) * len(scales), axis if self.per_row else 0)
        bias = self.generator.integers(-1000, 1000, rows, dtype=np.int32)
        return (
            self.add(Tensor(f"w{len(self.tensors)}", shape, "int8", quantization, True, matrix)),
            self.add(Tensor(f"b{len(self.tensors)}", (rows,), "int32", None, True, bias)),
        )

    def layer(
        self, kind: str, rows: int, window: tuple[int, int], step: int = 1, active: bool = True
    ) -> None:
        """A convolution or a depthwise one, SAME, with RELU or without."""
        self.slide(kind, rows, window, step, 0, RELU if active else 0)
        self._zero(active)

    def dense(self, rows: int, activation: int = 0) -> None:
        """FULLY_CONNECTED, with RELU or without."""
        super().dense(rows, activation)
        self._zero(activation == RELU)

    def _zero(self, active: bool) -> None:
        last = self.tensors[self.current]
        quantization = Quantization((0.1,), (-128 if active else 5,))
        self.tensors[self.current] = Tensor(last.name, last.shape, last.dtype, quantization)

    def pool(self, kind: str, window: tuple[int, int]) -> None:
        """A pool without padding, as large a step as its window."""
        source = self.tensors[self.current].quantization
        shape = self.shape
        places = (shape[1] // window[0], shape[2] // window[1])
        options = {"filterHeight": window[0], "filterWidth": window[1]}
        options |= {"strideH": window[0], "strideW": window[1], "padding": 1}
        self.apply(kind, (1, *places, shape[3]), quantization=source, **options)

    def classify(self, classes: int) -> None:
        """FULLY_CONNECTED and SOFTMAX."""
        self.dense(classes)
        self.apply("SOFTMAX", self.shape, quantization=Quantization((1 / 256,), (-128,)), beta=1.0)


def fully_connected(columns: int, rows: int) -> Callable[[], Network]:
    """One layer with one scale for all weights, as MLPerf Tiny's and as CMSIS-NN 4.0 has it."""

    def build() -> Network:
        chain = Scaled((1, columns), per_row=False)
        chain.dense(rows, RELU)
        return chain.finish()

    return build


def layer(
    kind: str, side: int, channels: int, rows: int, window: int, step: int = 1
) -> Callable[[], Network]:
    """One convolution or depthwise convolution of a square image."""

    def build() -> Network:
        chain = Scaled((1, side, side, channels))
        chain.layer(kind, rows, (window, window), step)
        return chain.finish()

    return build


def pooled(kind: str, side: int, channels: int, window: int, step: int) -> Callable[[], Network]:
    """One pool of a square image, without padding."""

    def build() -> Network:
        chain = Scaled((1, side, side, channels))
        chain.slide(kind, 0, (window, window), step, 1)
        return chain.finish()

    return build


def autoencoder() -> Network:
    """Anomaly detection, 264,192 MACs: ten fully connected layers, 8 wide in the middle."""
    chain = Scaled((1, 640), per_row=False)
    for rows in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        chain.dense(rows, RELU)
    chain.dense(640)
    return chain.finish()


def keyword_spotting() -> Network:
    """DS-CNN, 2,656,768 MACs."""
    chain = Scaled((1, 49, 10, 1))
    chain.layer("CONV_2D", 64, (10, 4), 2)
    for _ in range(4):
        chain.layer("DEPTHWISE_CONV_2D", 64, (3, 3))
        chain.layer("CONV_2D", 64, (1, 1))
    chain.pool("AVERAGE_POOL_2D", (25, 5))
    chain.classify(12)
    return chain.finish()


def visual_wake_words() -> Network:
    """MobileNet v1 × 0.25 on 96 × 96, 7,489,664 MACs."""
    chain = Scaled((1, 96, 96, 3))
    chain.layer("CONV_2D", 8, (3, 3), 2)
    for rows, step in [
        (16, 1),
        (32, 2),
        (32, 1),
        (64, 2),
        (64, 1),
        (128, 2),
        *[(128, 1)] * 5,
        (256, 2),
        (256, 1),
    ]:
        chain.layer("DEPTHWISE_CONV_2D", 0, (3, 3), step)
        chain.layer("CONV_2D", rows, (1, 1))
    chain.pool("AVERAGE_POOL_2D", (3, 3))
    chain.classify(2)
    return chain.finish()


def image_classification() -> Network:
    """ResNet-8 on 32 × 32, 12,501,632 MACs."""
    chain = Scaled((1, 32, 32, 3))
    chain.layer("CONV_2D", 16, (3, 3))
    for rows, step in ((16, 1), (32, 2), (64, 2)):
        start = chain.current
        chain.layer("CONV_2D", rows, (3, 3), step)
        chain.layer("CONV_2D", rows, (3, 3), active=False)
        end = chain.current
        chain.current = start
        if step > 1:
            chain.layer("CONV_2D", rows, (1, 1), step, active=False)
        chain.apply("ADD", chain.shape, (end,), Quantization((0.15,), (-128,)), fusedActivationFunction=RELU)
    chain.pool("AVERAGE_POOL_2D", (8, 8))
    chain.classify(10)
    return chain.finish()


LAYERS: dict[str, Callable[[], Network]] = {
    "fully connected 128 to 128": fully_connected(128, 128),
    "fully connected 256 to 128": fully_connected(256, 128),
    "fully connected 256 to 256": fully_connected(256, 256),
    "conv 3 x 3, 16 to 16": layer("CONV_2D", 16, 16, 16, 3),
    "conv 3 x 3, 32 to 32": layer("CONV_2D", 12, 32, 32, 3),
    "conv 3 x 3, 64 to 64, step 2": layer("CONV_2D", 12, 64, 64, 3, 2),
    "conv 1 x 1, 16 to 16": layer("CONV_2D", 16, 16, 16, 1),
    "conv 1 x 1, 32 to 64": layer("CONV_2D", 12, 32, 64, 1),
    "conv 1 x 1, 128 to 128": layer("CONV_2D", 6, 128, 128, 1),
    "depthwise 3 x 3, 16": layer("DEPTHWISE_CONV_2D", 16, 16, 0, 3),
    "depthwise 3 x 3, 64": layer("DEPTHWISE_CONV_2D", 12, 64, 0, 3),
    "depthwise 3 x 3, 64, step 2": layer("DEPTHWISE_CONV_2D", 12, 64, 0, 3, 2),
    "depthwise 5 x 5, 32": layer("DEPTHWISE_CONV_2D", 12, 32, 0, 5),
}
"""Name → a network of one layer."""

POOLS: dict[str, Callable[[], Network]] = {
    "max pool 2 x 2, 32": pooled("MAX_POOL_2D", 16, 32, 2, 2),
    "max pool 3 x 3, 64, step 2": pooled("MAX_POOL_2D", 13, 64, 3, 2),
    "average pool 2 x 2, 32": pooled("AVERAGE_POOL_2D", 16, 32, 2, 2),
    "average pool 8 x 8, 64": pooled("AVERAGE_POOL_2D", 8, 64, 8, 8),
    "average pool 16 x 16, 40": pooled("AVERAGE_POOL_2D", 16, 40, 16, 16),
}
"""Name → a network of one pool."""

NETWORKS: dict[str, Callable[[], Network]] = {
    "ad": autoencoder,
    "kws": keyword_spotting,
    "vww": visual_wake_words,
    "ic": image_classification,
}
"""MLPerf Tiny's name of a benchmark → a network of its shapes."""
