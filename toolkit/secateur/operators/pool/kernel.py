"""How the pool kernels are called: with five words that state the layer."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.kernel import Array, Kernel, ends
from secateur.operators.pool.rule import Pooled
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


def _for_helium(kernel: Kernel, more: tuple[str, ...]) -> Kernel:
    name = f"{kernel.name}_helium"
    return replace(
        kernel,
        name=name,
        prototype=kernel.prototype.replace(kernel.name, name),
        terms=("call", "pixel", "vector", "vector_row", "vector_tap", "rest", "rest_row", "rest_tap", *more),
        includes=("pool", "pool_helium"),
    )


AVERAGE_POOL_HELIUM = _for_helium(AVERAGE_POOL, ("divided", "copied", "mean", "many", "many_row", "many_tap"))
MAX_POOL_HELIUM = _for_helium(MAX_POOL, ())


def _pack_plain(network: Network, step: Step) -> tuple[Array, ...]:
    part: Pooled = step.payload
    words = np.concatenate([[part.largest, *part.bounds], window_words(part.window, part.channels)])
    text = f"{step.label}: {part.window.height} x {part.window.width} of {part.channels} channels"
    return (Array.of_words(words, text),)


def plain_kernel(name: str, kind: str, summary: str, includes: tuple[str, ...]) -> Kernel:
    """A pool of a type of C that is not int8."""

    def call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
        return f"{arrays[0]}, {ends(reads, writes, kind)}"

    return Kernel(
        name=name,
        folder=Path(__file__).parent,
        prototype=f"void secateur_{name}(const uint32_t *stream, const {kind} *source, {kind} *target)",
        summary=summary,
        terms=("call", "pixel", "value", "line", "tap"),
        pack=_pack_plain,
        call=call,
        includes=includes,
    )


POOL_16 = plain_kernel(
    "pool_16", "secateur_int16", "The same of int16, cut off.", ("requantise_16", "requantise")
)
POOL_FLOAT = plain_kernel("pool_float", "secateur_float", "The same of float32, cut off.", ("float",))
