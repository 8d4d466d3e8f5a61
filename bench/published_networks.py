"""Work of the networks whose latency on Raspberry Pi boards has been published, counted from their papers' tables.

MobileNet v1 (arXiv 1704.04861, table 1), v2 (1801.04381, table 2), v3 (1905.02244, tables 1 and 2): input 224×224×3,
1,000 classes. Of ShuffleNetV2 1.0×, SqueezeNet 1.1 and GoogLeNet only the papers' totals are used.
"""

from dataclasses import dataclass, field

from secateur.target.work import Work


@dataclass
class _Count:
    """A running count; ``side`` and ``channels`` are of the tensor that the next layer takes."""

    size: int
    side: int = 224
    channels: int = 3
    macs: dict[str, int] = field(default_factory=lambda: {"dense": 0, "conv": 0, "depthwise": 0})
    weights: int = 0
    results: int = 0
    operators: int = 0

    def layer(self, kind: str, channels: int, kernel: int = 1, stride: int = 1) -> None:
        self.side = -(-self.side // stride)
        taps = kernel * kernel * (1 if kind == "depthwise" else self.channels)
        self.channels = channels
        self._add(kind, channels * self.side**2 * taps, channels * taps, channels * self.side**2)

    def dense(self, inputs: int, outputs: int) -> None:
        self._add("dense", inputs * outputs, inputs * outputs, outputs)

    def plain(self) -> None:
        """An operator without weights: an addition, a scaling."""
        self._add("dense", 0, 0, self.channels * self.side**2)

    def _add(self, kind: str, macs: int, weights: int, results: int) -> None:
        self.macs[kind] += macs
        self.weights += weights
        self.results += results
        self.operators += 1

    def work(self) -> Work:
        return Work(
            self.operators,
            **self.macs,
            weights_bytes=self.weights * self.size,
            activations_bytes=self.results * self.size,
        )


def _mobilenet_v1(count: _Count) -> None:
    count.layer("conv", 32, 3, 2)
    for channels, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        count.layer("depthwise", count.channels, 3, stride)
        count.layer("conv", channels)
    count.dense(1024, 1000)


def _bottleneck(
    count: _Count, expanded: int, channels: int, kernel: int, stride: int, squeeze: bool = False
) -> None:
    before = count.channels
    if expanded != before:
        count.layer("conv", expanded)
    count.layer("depthwise", expanded, kernel, stride)
    if squeeze:
        count.dense(expanded, expanded // 4)
        count.dense(expanded // 4, expanded)
        count.plain()
    count.layer("conv", channels)
    if stride == 1 and before == channels:
        count.plain()


MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repeats and stride of each group of bottlenecks (Sandler et al. 2018, table 2)."""


def _mobilenet_v2(count: _Count) -> None:
    count.layer("conv", 32, 3, 2)
    for factor, channels, repeats, stride in MOBILENET_V2:
        for index in range(repeats):
            _bottleneck(count, factor * count.channels, channels, 3, stride if index == 0 else 1)
    count.layer("conv", 1280)
    count.dense(1280, 1000)


_LARGE = [
    (3, 16, 16, 0, 1), (3, 64, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2), (5, 120, 40, 1, 1), (5, 120, 40, 1, 1),
    (3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1),
    (3, 672, 112, 1, 1), (5, 672, 160, 1, 2), (5, 960, 160, 1, 1), (5, 960, 160, 1, 1),
]  # fmt: skip
_SMALL = [
    (3, 16, 16, 1, 2), (3, 72, 24, 0, 2), (3, 88, 24, 0, 1), (5, 96, 40, 1, 2), (5, 240, 40, 1, 1), (5, 240, 40, 1, 1),
    (5, 120, 48, 1, 1), (5, 144, 48, 1, 1), (5, 288, 96, 1, 2), (5, 576, 96, 1, 1), (5, 576, 96, 1, 1),
]  # fmt: skip


def _mobilenet_v3(count: _Count, rows: list[tuple[int, int, int, int, int]], last: int, hidden: int) -> None:
    count.layer("conv", 16, 3, 2)
    for kernel, expanded, channels, squeeze, stride in rows:
        _bottleneck(count, expanded, channels, kernel, stride, bool(squeeze))
    count.layer("conv", last)
    count.dense(last, hidden)
    count.dense(hidden, 1000)


TOTALS = {
    # multiply-accumulates, parameters, results of layers; of the papers and their reference implementations
    "shufflenet_v2": (146e6, 2.3e6, 1.9e6, 122),
    "squeezenet": (352e6, 1.2e6, 2.6e6, 38),
    "googlenet": (1.50e9, 6.6e6, 6.3e6, 83),
}


def published_work(model: str, dtype: str) -> Work:
    """Work of a published network, stored and computed in a dtype."""
    size = {"float32": 4, "int8": 1}[dtype]
    if model in TOTALS:
        macs, weights, results, operators = TOTALS[model]
        return Work(operators, 0, int(macs), 0, int(weights * size), int(results * size))
    count = _Count(size)
    if model == "mobilenet_v1":
        _mobilenet_v1(count)
    elif model == "mobilenet_v2":
        _mobilenet_v2(count)
    else:
        _mobilenet_v3(count, *((_LARGE, 960, 1280) if model.endswith("large") else (_SMALL, 576, 1024)))
    return count.work()
