"""How the kernels that take and place patches are called: with words that say where, and the loop's counters."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.patch.part import Part
from secateur.operators.program import Step


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Part = step.payload
    down, right = part.down, part.right
    words = [
        right.size | down.size << 16,
        right.image | down.image << 16,
        part.channels,
        right.starts[-1] | down.starts[-1] << 16,
        right.scale | down.scale << 16,
        right.offset | down.offset << 16,
        part.value,
    ]
    own = words if step.kernel == "patch_read" else words[:4]
    text = (
        f"{step.label}: {down.size} x {right.size} of {down.image} x {right.image} x {part.channels}, "
        f"{len(down.starts)} x {len(right.starts)} patches"
    )
    return (Array.of_words(np.array(own, np.int64), text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, down, right, {reads[0] if reads else '0'}, {writes[0]}"


def _kernel(name: str, summary: str, terms: tuple[str, ...]) -> Kernel:
    return Kernel(
        name=name,
        folder=Path(__file__).parent,
        prototype=(
            f"void secateur_{name}(const uint32_t *stream, int32_t down, int32_t right, const int8_t *source, "
            "int8_t *target)"
        ),
        summary=summary,
        terms=terms,
        pack=_pack,
        call=_call,
        includes=("patch",),
    )


PATCH_READ = _kernel(
    "patch_read",
    "target = the part of source that a patch of a result needs, beyond its edges one value.",
    ("call", "row", "run", "word", "word_apart", "byte_apart", "filled"),
)
PATCH_WRITE = _kernel(
    "patch_write",
    "The patch of target at (down, right) = source.",
    ("call", "row", "word", "word_apart", "byte_apart"),
)
