"""When a MEAN or a SUM can be carried out, and what its sums are scaled by."""

from dataclasses import dataclass
from math import prod

from secateur.network import Quantization
from secateur.operators.lowering import Lowering, unsupported
from secateur.operators.program import Step
from secateur.operators.requantise import quantize_multiplier

MOST_16 = 1 << 16
"""Values of int16 whose sum is sure to be an int32."""


@dataclass(frozen=True)
class Mean:
    """A mean over the middle of [outer, count, inner] values, or their ``total``; the quantisation, none of float32."""

    outer: int
    count: int
    inner: int
    source: Quantization | None
    target: Quantization | None
    total: bool = False

    def multiplier(self) -> tuple[int, int]:
        """Multiplier below 2³¹ and left shift that the sum is scaled by; those of a mean hold 1 / count."""
        assert self.source is not None
        assert self.target is not None
        multiplier, shift = quantize_multiplier(_real(self.source, self.target))
        if self.total:
            return multiplier, shift
        extra = min(self.count.bit_length() - 1, 32, 31 + shift)
        return (multiplier << extra) // self.count, shift - extra


def _real(source: Quantization, target: Quantization) -> float:
    return source.scales[0] / target.scales[0]


def lower_mean(lowering: Lowering, index: int) -> None:
    """``target`` = mean or sum of ``source`` over axes that are neighbours, such as height and width."""
    _lower(lowering, index, "mean")


def lower_mean_16(lowering: Lowering, index: int) -> None:
    """The same of int16."""
    _lower(lowering, index, "mean_16")


def lower_mean_float(lowering: Lowering, index: int) -> None:
    """The same of float32."""
    _lower(lowering, index, "mean_float")


def _lower(lowering: Lowering, index: int, kernel: str) -> None:
    operator = lowering.network.operators[index]
    source, target = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    rank = len(source.shape)
    named = [int(axis) for axis in lowering.integers(operator, 1).reshape(-1)]
    if not named or not all(-rank <= axis < rank for axis in named):
        raise unsupported(operator, target, f"goes over axes {named}", "Name axes that there are.")
    gone = {axis % rank for axis in named}
    kept = tuple(1 if axis in gone else size for axis, size in enumerate(source.shape))
    if target.shape not in (kept, tuple(kept[axis] for axis in range(rank) if axis not in gone)):
        seen = f"makes {target.shape} of {source.shape} over {sorted(gone)}"
        raise unsupported(operator, target, seen, "Convert the model again.")
    axes = sorted(axis for axis in gone if source.shape[axis] > 1) or [named[0] % rank]
    reads, writes = lowering.buffer(operator.inputs[0]), lowering.new_buffer(operator.outputs[0])
    outer, inner = prod(source.shape[: axes[0]]), prod(source.shape[axes[-1] + 1 :])
    count = prod(source.shape[axes[0] : axes[-1] + 1])
    between = [axis for axis in range(axes[0], axes[-1] + 1) if source.shape[axis] > 1 or len(axes) == 1]
    if axes != between or rank > 4:
        raise unsupported(
            operator, target, f"goes over {axes} of {source.shape}", "Use axes that are neighbours."
        )
    total = operator.kind == "SUM"
    if kernel == "mean_float":
        part = Mean(outer, count, inner, None, None, total)
    else:
        assert source.quantization is not None
        assert target.quantization is not None
        if not _real(source.quantization, target.quantization) < 1 << 20:
            raise unsupported(operator, target, "has an output scale of next to nothing", "Calibrate again.")
        if kernel == "mean_16" and count > MOST_16:
            raise unsupported(operator, target, f"sums {count} values of int16", f"Take at most {MOST_16}.")
        part = Mean(outer, count, inner, source.quantization, target.quantization, total)
    label = lowering.derived_label(operator.inputs[0], "/" + operator.kind.lower())
    lowering.add(mean_step(label, index, (reads, writes), part, kernel))


def mean_step(label: str, operator: int, buffers: tuple[int, int], part: Mean, kernel: str = "mean") -> Step:
    """The step: seven words that state it, and work in values read and written."""
    results = part.outer * part.inner
    return Step(
        label=label,
        kernel=kernel,
        operators=(operator,),
        reads=(buffers[0],),
        writes=(buffers[1],),
        rows=1,
        columns=results * part.count,
        macs=0,
        parameters=0,
        weights_bytes=0 if kernel == "mean_float" else 28,
        tables_bytes=0,
        work=(1, part.outer, results, results * part.count),
        payload=part,
    )
