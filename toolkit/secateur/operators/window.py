"""Windows that slide over [1, height, width, channels]: of convolutions and pools, with the padding round them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from secateur.operators.lowering import Lowering, unsupported

SAME, VALID = 0, 1
"""The schema's paddings."""

LARGEST = {"a window": 0xFF, "a stride": 0xFF, "an image": 0xFFFF}
"""What → its largest side that fits the words of a kernel."""


@dataclass(frozen=True)
class Window:
    """How a window of ``height`` × ``width`` slides over an image.

    Attributes:
        source_height, source_width: of the image, padding not counted.
        target_height, target_width: places that the window takes.
        height, width: of the window.
        step_down, step_right: between places.
        above, left: rows and columns of padding before the image; those behind it follow.
    """

    source_height: int
    source_width: int
    target_height: int
    target_width: int
    height: int
    width: int
    step_down: int
    step_right: int
    above: int
    left: int

    @property
    def padded(self) -> bool:
        """True if the window ever reaches beyond the image."""
        return (
            self.above > 0
            or self.left > 0
            or (self.target_height - 1) * self.step_down - self.above + self.height > self.source_height
            or (self.target_width - 1) * self.step_right - self.left + self.width > self.source_width
        )

    @property
    def columns_below(self) -> int:
        """Columns of the source, those of its padding included, below a row of the target."""
        return (self.target_width - 1) * self.step_right + self.width

    def inside(self, place: int, down: bool) -> tuple[int, int]:
        """First and last + 1 row (``down``) or column of the window at a place that lie in the image."""
        size, step, pad, limit = (
            (self.height, self.step_down, self.above, self.source_height)
            if down
            else (self.width, self.step_right, self.left, self.source_width)
        )
        start = place * step - pad
        return min(max(0, -start), size), max(0, min(size, limit - start))


@dataclass(frozen=True)
class Padding:
    """A PAD that the operator after it takes in: its index, what it reads, rows and columns before the image."""

    operator: int
    source: int
    above: int
    left: int


def padding_amounts(lowering: Lowering, index: int) -> np.ndarray:
    """Places that a PAD adds before and behind each axis: [axes, 2]."""
    operator = lowering.network.operators[index]
    amounts = lowering.integers(operator, 1)
    axes = len(lowering.tensor(operator.inputs[0]).shape)
    if amounts.shape != (axes, 2) or amounts.min() < 0 or amounts.max() > LARGEST["an image"]:
        raise unsupported(
            operator,
            lowering.tensor(operator.outputs[0]),
            f"has amounts of padding {amounts.tolist()}",
            "Pad every axis by a pair of constants of zero and more.",
        )
    return amounts


def padding_value(lowering: Lowering, index: int) -> int:
    """The stored value that a PAD puts into the places that it adds: zero, or PADV2's own."""
    operator = lowering.network.operators[index]
    target = lowering.tensor(operator.outputs[0])
    if operator.kind == "PAD":
        return 0 if target.quantization is None else target.quantization.zero_points[0]
    value = lowering.tensor(operator.inputs[2]).data if len(operator.inputs) > 2 else None
    if target.dtype != "int8":  # a fill writes one byte everywhere
        if value is None or np.dtype(target.dtype) != value.dtype or value.size != 1 or any(value.tobytes()):
            raise unsupported(operator, target, f"pads {target.dtype} by other than zero", "Pad by zero.")
        return 0
    if value is None or value.dtype != np.int8 or value.size != 1:
        raise unsupported(operator, target, "pads by no int8 constant", "Pad by a constant.")
    return int(value.reshape(()))


def is_fused(lowering: Lowering, index: int) -> bool:
    """True for a PAD of height and width by zero that only one convolution reads: it takes the PAD in."""
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    consumer = lowering.sole_consumer(operator.outputs[0])
    if consumer is None or len(source.shape) != 4 or source.quantization != target.quantization:
        return False
    reader = lowering.network.operators[consumer]
    if reader.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or reader.inputs[0] != operator.outputs[0]:
        return False
    amounts = padding_amounts(lowering, index)
    zero = 0 if target.quantization is None else target.quantization.zero_points[0]
    return not amounts[[0, 3]].any() and padding_value(lowering, index) == zero


def fused_padding(lowering: Lowering, tensor: int) -> Padding | None:
    """The PAD that made a tensor and left itself to the convolution that reads it, if one did."""
    index = lowering.producer(tensor)
    if index is None or tensor in lowering:
        return None
    operator = lowering.network.operators[index]
    if operator.kind not in ("PAD", "PADV2"):
        return None
    amounts = padding_amounts(lowering, index)
    return Padding(index, operator.inputs[0], int(amounts[1, 0]), int(amounts[2, 0]))


def slide(
    lowering: Lowering, index: int, height: int, width: int, padding: Padding | None
) -> tuple[Window, Callable[[str, str], NoReturn]]:
    """The window of a convolution or pool, and how to refuse the operator.

    Args:
        lowering: the network.
        index: of the operator, whose options are ``strideH``, ``strideW`` and ``padding``.
        height: of its window.
        width: of its window.
        padding: a PAD to take in.

    Raises:
        SecateurError: a batch, a shape that the window does not give, or one too large for the kernels.
    """
    operator = lowering.network.operators[index]
    target = lowering.tensor(operator.outputs[0])

    def refuse(seen: str, remedy: str) -> NoReturn:
        raise unsupported(operator, target, seen, remedy)

    image = lowering.tensor(operator.inputs[0]).shape
    inner = lowering.tensor(padding.source).shape if padding else image
    if len(image) != 4 or len(target.shape) != 4 or image[0] != 1 or target.shape[0] != 1:
        refuse(f"maps {image} to {target.shape}", "Use a batch of one image [1, height, width, channels].")
    steps = [int(operator.options.get(name, 0)) for name in ("strideH", "strideW")]
    if min(*steps, height, width) < 1:
        refuse("has a window or a stride of nothing", "Convert the model again.")
    before, places = [], []
    for size, window, step in zip(image[1:3], (height, width), steps):
        if operator.options.get("padding", SAME) == SAME:
            count = -(-size // step)
            before.append(max((count - 1) * step + window - size, 0) // 2)
        else:
            count = (size - window) // step + 1
            before.append(0)
        places.append(count)
    if tuple(places) != tuple(target.shape[1:3]):
        refuse(f"writes {target.shape} where {tuple(places)} follow", "Convert the model again.")
    sizes = {"a window": max(height, width), "a stride": max(steps), "an image": max(*image, *target.shape)}
    for what, largest in LARGEST.items():
        if sizes[what] > largest:
            refuse(f"has {what} of {sizes[what]}", f"Keep {what} to {largest} a side.")
    if padding:
        before = [before[0] + padding.above, before[1] + padding.left]
    sliding = Window(
        *(inner[1], inner[2], places[0], places[1], height, width, steps[0], steps[1], before[0], before[1])
    )
    return sliding, refuse
