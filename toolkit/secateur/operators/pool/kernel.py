"""How the pool kernels are called: with five words that state the layer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel
from secateur.operators.program import Step
from secateur.operators.stream import window_words


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part, channels = step.payload
    window = part.window
    text = (
        f"{step.label}: {step.kernel} {window.height} x {window.width} of "
        f"{window.source_height} x {window.source_width} x {channels}"
    )
    return (Array("weights", window_words(window, channels).astype(np.uint32), text),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {reads[0]}, {writes[0]}"


def _kernel(name: str, what: str) -> Kernel:
    return Kernel(
        name=name,
        folder=Path(__file__).parent,
        prototype=f"void secateur_{name}(const uint32_t *stream, const int8_t *source, int8_t *target)",
        summary=f"target[y, x, c] = {what} of the window of source[c] at (y, x), padding left out.",
        terms=("call", "pixel", "four", "four_row", "four_tap", "alone", "alone_row", "alone_tap"),
        pack=_pack,
        call=_call,
        includes=("pool",),
    )


AVERAGE_POOL = _kernel("average_pool", "mean")
MAX_POOL = _kernel("max_pool", "largest")
