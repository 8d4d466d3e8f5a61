"""What layers of float32 share: biases and weights as words, and kernels on one source."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.conv.rule_other_types import TERMS, describe, taps_words
from secateur.operators.kernel import Array, Kernel, ends
from secateur.operators.pairing import bounds_words
from secateur.operators.program import Step
from secateur.operators.stream import layer_data

_FOLDER = Path(__file__).parent


def _numbers(network: Network, step: Step, tensors: tuple[int, int, int, int]) -> np.ndarray:
    """Biases, zero where there are none, and the weights: uint32."""
    weights, bias = layer_data(network, step.label, tensors, step.rows)
    both = np.concatenate([bias, weights.reshape(-1)]).astype(np.float32)
    return both.view(np.uint32)


def _pack_vectors(network: Network, step: Step) -> tuple[Array, ...]:
    part = step.payload
    bounds = bounds_words(part.activation, network.tensors[part.tensors[3]])
    head = np.array([step.rows | step.columns << 16, part.count, *bounds], np.uint32)
    stream = np.concatenate([head, _numbers(network, step, part.tensors)])
    return (
        Array("weights", stream, f"{step.label}: fully connected, {step.columns} to {step.rows}, float32"),
    )


def _pack_windows(network: Network, step: Step) -> tuple[Array, ...]:
    part = step.payload
    bounds = bounds_words(part.activation, network.tensors[part.tensors[3]])
    head = np.array([*bounds, step.rows, *taps_words(part)], np.int64)
    stream = np.concatenate([head.astype(np.uint32), _numbers(network, step, part.tensors)])
    return (Array("weights", stream, f"{step.label}: {describe(step)}"),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return ", ".join([*arrays, ends(reads, writes, "secateur_float")])


def _layer(
    name: str,
    folder: str,
    summary: str,
    terms: tuple[str, ...],
    pack: Callable[[Network, Step], tuple[Array, ...]],
    includes: tuple[str, ...] = ("float",),
) -> Kernel:
    return Kernel(
        name=name,
        folder=_FOLDER / folder,
        prototype=(
            f"void secateur_{name}(const uint32_t *stream, const secateur_float *source, secateur_float *target)"
        ),
        summary=summary,
        terms=terms,
        pack=pack,
        call=_call,
        includes=includes,
    )


FULLY_CONNECTED_FLOAT = _layer(
    "fully_connected_float",
    "fully_connected",
    "target[v, rows] = weights . source[v] + bias, of float32.",
    ("call", "row", "block", "block_pair"),
    _pack_vectors,
)
CONV_FLOAT = _layer(
    "conv_float",
    "conv",
    "target[y, x, rows] = weights . window of source + bias, of float32.",
    TERMS,
    _pack_windows,
    ("reach", "float"),
)
DEPTHWISE_FLOAT = _layer(
    "depthwise_float",
    "depthwise",
    "The same of float32, for each channel alone.",
    TERMS,
    _pack_windows,
    ("reach", "float"),
)
