"""What operators on two sources share: broadcasting as loops, constants as sources, work in place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NoReturn

import numpy as np

from secateur.network import Network, Quantization, Tensor
from secateur.operators.conv.rule import add_clamp
from secateur.operators.kernel import TYPES_OF_C, Array, Kernel, constant_pointer, padded_size, pointer
from secateur.operators.lowering import ITEM_BYTES, Lowering, unsupported
from secateur.operators.program import Step
from secateur.operators.requantise import ACTIVATION_RANGES, activation_range, quantize_multiplier

LOOPS = 4

_UNBOUNDED = ("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
"""Operators without a fused activation: of float32, the reference lets infinities pass."""


@dataclass(frozen=True)
class Pair:
    """Two sources read in step.

    Attributes:
        tensors: of the network: one, other, target.
        constant: which of the two is a constant; it is packed, not read from a buffer.
        loops: from inside to outside: times, step of the one, step of the other, in bytes.
        words: the kernel's own, before the loops; unsigned.
        kind: the operator, for the reader of the C.
        item_bytes: of an element of the sources.
        target_bytes: of an element of the target, which are fewer where it is a truth value.
    """

    tensors: tuple[int, int, int]
    constant: tuple[bool, bool]
    loops: tuple[tuple[int, int, int], ...]
    words: tuple[int, ...]
    kind: str
    item_bytes: int = 1
    target_bytes: int = 1


Words = Callable[[str, Sequence[Quantization], Callable[[str, str], NoReturn]], Sequence[int]]
"""Kind, quantisation of one, other and target (none of float32), how to refuse → the kernel's own words.

Other types than int8 have two more, which are added to them: the bounds of the fused activation.
"""


Suits = Callable[[Sequence[int]], bool]
"""A kernel's own words, unsigned → whether the kernel for Helium carries them out."""


def lower_pair(
    lowering: Lowering, index: int, kernel: str, words: Words, helium: Suits | None = None
) -> None:
    """``target = one ∘ other``, broadcast as numpy does; in place of a source that is done with.

    Args:
        lowering: the network.
        index: of the operator.
        kernel: that carries it out.
        words: see ``Words``.
        helium: of a kernel that has another for Helium, ``<kernel>_helium``.
    """
    operator = lowering.network.operators[index]
    result = operator.outputs[0]
    target = lowering.tensor(result)

    def refuse(seen: str, remedy: str) -> NoReturn:
        raise unsupported(operator, target, seen, remedy)

    sources = [lowering.tensor(tensor) for tensor in operator.inputs[:2]]
    for tensor in (*operator.inputs[:2], *(() if target.dtype == "bool" else (result,))):
        lowering.check_activation(tensor)
    if sources[0].dtype != sources[1].dtype:
        refuse(f"reads {sources[0].dtype} and {sources[1].dtype}", "Put a QUANTIZE between them.")
    activation = int(operator.options.get("fusedActivationFunction", 0))
    if activation not in ACTIVATION_RANGES:
        refuse("has a fused activation of another kind", "Use RELU or RELU6, or an activation of its own.")
    shapes = [source.shape for source in sources]
    try:
        wanted = np.broadcast_shapes(*shapes)
    except ValueError:
        wanted = ()
    constant = sources[0].constant, sources[1].constant
    if wanted != target.shape or all(constant):
        refuse(f"makes {target.shape} of {shapes[0]} and {shapes[1]}", "Convert the model again.")
    quantizations = [tensor.quantization for tensor in (*sources, target) if tensor.quantization is not None]
    item = ITEM_BYTES[sources[0].dtype]
    most = np.inf if operator.kind in _UNBOUNDED else float(np.finfo(np.float32).max)
    bounds = () if item == 1 or target.dtype == "bool" else bounds_words(activation, target, most)
    own = tuple(int(word) & 0xFFFFFFFF for word in (*words(operator.kind, quantizations, refuse), *bounds))
    if helium is not None and lowering.choice.helium and helium(own):
        kernel = f"{kernel}_helium"
    loops = tuple(
        (times, item * one, item * two) for times, one, two in pair_loops(shapes[0], shapes[1], target.shape)
    )
    if len(loops) > LOOPS:
        refuse(f"broadcasts {shapes[0]} and {shapes[1]}", "Broadcast along fewer axes at a time.")
    sizes = item, ITEM_BYTES[target.dtype]
    part = Pair((operator.inputs[0], operator.inputs[1], result), constant, loops, own, operator.kind, *sizes)
    reads = tuple(
        lowering.buffer(tensor) for tensor, fixed in zip(operator.inputs[:2], constant) if not fixed
    )
    label = lowering.derived_label(
        next(tensor for tensor, fixed in zip(operator.inputs[:2], constant) if not fixed),
        "/" + operator.kind.lower(),
    )
    writes = _place(lowering, index, part, target.shape)
    lowering.add(pair_step(label, index, kernel, (reads, writes), part, prod(target.shape)))
    if target.dtype == "int8":
        add_clamp(lowering, index, result, activation)


def bounds_words(
    activation: int, target: Tensor, most: float = float(np.finfo(np.float32).max)
) -> tuple[int, int]:
    """Lowest and highest value that a fused activation lets through, as the kernels of a type read them.

    Args:
        activation: by the schema's number.
        target: of float32, or quantised.
        most: what stands for no bound, of float32.
    """
    if target.quantization is None:
        low, high = ACTIVATION_RANGES[activation]
        reals = np.array([-most if low is None else low, most if high is None else high], np.float32)
        first, second = reals.view(np.uint32).tolist()
        return int(first), int(second)
    return activation_range(activation, target.quantization, -(1 << 15), (1 << 15) - 1)


def _place(lowering: Lowering, index: int, part: Pair, shape: tuple[int, ...]) -> int:
    """The buffer of the target: that of a source of its shape that nothing else needs, or a new one."""
    for place, tensor in enumerate(part.tensors[:2]):
        other = part.tensors[1 - place]
        if (
            not part.constant[place]
            and lowering.tensor(part.tensors[2]).dtype == lowering.tensor(tensor).dtype
            and lowering.tensor(tensor).shape == shape
            and lowering.may_overwrite(tensor, [index])
            and (
                part.constant[1 - place]
                or lowering.buffer(other) != lowering.buffer(tensor)
                or lowering.tensor(other).shape == shape
            )
        ):
            lowering.alias(part.tensors[2], tensor)
            return lowering.buffer(part.tensors[2])
    return lowering.new_buffer(part.tensors[2])


def pair_loops(
    one: Sequence[int], two: Sequence[int], target: Sequence[int]
) -> tuple[tuple[int, int, int], ...]:
    """Loops over two sources that are broadcast to a target, from inside to outside, as few as can be."""
    rank = len(target)
    shapes = [(1,) * (rank - len(shape)) + tuple(shape) for shape in (one, two)]
    loops: list[tuple[int, int, int]] = []
    for axis in reversed(range(rank)):
        if target[axis] == 1:
            continue
        steps = [prod(shape[axis + 1 :]) if shape[axis] > 1 else 0 for shape in shapes]
        if loops and all(step == loops[-1][0] * old for step, old in zip(steps, loops[-1][1:])):
            loops[-1] = (loops[-1][0] * target[axis], *loops[-1][1:])
        else:
            loops.append((target[axis], steps[0], steps[1]))
    return tuple(loops) or ((1, 1, 1),)


def pair_step(
    label: str, operator: int, kernel: str, buffers: tuple[tuple[int, ...], int], part: Pair, elements: int
) -> Step:
    """The step: the kernel's words, those of the loops, and a constant source if there is one."""
    outer = prod(times for times, _, _ in part.loops[1:])
    size = [
        part.item_bytes * prod(times for times, *steps in part.loops if steps[place])
        for place, fixed in enumerate(part.constant)
        if fixed
    ]
    return Step(
        label=label,
        kernel=kernel,
        operators=(operator,),
        reads=buffers[0],
        writes=(buffers[1],),
        rows=1,
        columns=elements,
        macs=0,
        parameters=sum(size) // part.item_bytes,
        weights_bytes=4 * (len(part.words) + 3 * LOOPS) + sum(map(padded_size, size)),
        tables_bytes=0,
        work=(1, outer, outer * -(-part.loops[0][0] // 4) if kernel.endswith("_helium") else elements),
        payload=part,
    )


def pair_kernel(
    name: str,
    folder: Path,
    summary: str,
    includes: tuple[str, ...],
    kind: str = "int8_t",
    result: str | None = None,
) -> Kernel:
    """A kernel on two sources of a type of C, whose result is of that type or of another."""
    return Kernel(
        name=name,
        folder=folder,
        prototype=(
            f"void secateur_{name}(const uint32_t *stream, const {kind} *one, const {kind} *two, "
            f"{result or kind} *target)"
        ),
        summary=summary,
        terms=("call", "run", "four" if name.endswith("_helium") else "value"),
        pack=_pack,
        call=_call,
        includes=includes,
    )


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Pair = step.payload
    loops = [*part.loops, *[(1, 0, 0)] * (LOOPS - len(part.loops))]
    words = np.array([*part.words, *np.array(loops, np.int64).reshape(-1)], np.int64)
    arrays = [Array.of_words(words, f"{step.label}: {part.kind} of {step.columns} values")]
    for tensor, fixed in zip(part.tensors, part.constant):
        if fixed:
            comment = f"{step.label}: a constant of {part.kind}"
            arrays.append(Array.of_constant(network.tensors[tensor].data, comment, part.item_bytes > 1))
    return tuple(arrays)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    buffers, constants = iter(reads), iter(arrays[1:])
    sources = [next(constants) if fixed else next(buffers) for fixed in step.payload.constant]
    kind, result = TYPES_OF_C[step.payload.item_bytes], TYPES_OF_C[step.payload.target_bytes]
    ends = [constant_pointer(source, kind) for source in sources]
    return f"{arrays[0]}, {ends[0]}, {ends[1]}, {pointer(writes[0], result)}"


def stored(real: float) -> tuple[int, int]:
    """A real multiplier → as the kernels read it: 2·m − 2³², and right shift | left shift << 8."""
    multiplier, shift = quantize_multiplier(real)
    if multiplier == 0:
        multiplier, shift = 1 << 30, -31
    return 2 * multiplier, max(-shift, 0) | max(shift, 0) << 8
