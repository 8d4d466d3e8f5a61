"""How the weights of convolutions of int16 are laid out for their kernels, and how these are called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.network import Network
from secateur.operators.conv.rule_other_types import TERMS, Windows, describe, taps_words
from secateur.operators.kernel import Array, Kernel, ends
from secateur.operators.layer_16 import layer_words
from secateur.operators.program import Step
from secateur.operators.stream import words_of


def _pack(network: Network, step: Step) -> tuple[Array, ...]:
    part: Windows = step.payload
    layer, rows, weights = layer_words(network, step.label, part.tensors, step.rows, part.activation)
    stored = np.zeros(-(-weights.size // 4) * 4, np.int8)
    stored[: weights.size] = weights.reshape(-1)
    words = [layer, [step.rows, 0], taps_words(part), rows.reshape(-1)]
    stream = np.concatenate([*words, words_of(stored)])
    return (Array.of_words(stream, f"{step.label}: {describe(step)}"),)


def _call(step: Step, arrays: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> str:
    return f"{arrays[0]}, {ends(reads, writes, 'secateur_int16')}"


def _kernel(name: str, folder: Path, summary: str) -> Kernel:
    return Kernel(
        name=name,
        folder=folder,
        prototype=(
            f"void secateur_{name}(const uint32_t *stream, const secateur_int16 *source, secateur_int16 *target)"
        ),
        summary=summary,
        terms=TERMS,
        pack=_pack,
        call=_call,
        includes=("reach", "requantise_16", "requantise"),
    )


_FOLDER = Path(__file__).parent

CONV_16 = _kernel(
    "conv_16", _FOLDER, "target[y, x, rows] = requantise(weights . window of source + bias), of int16."
)
DEPTHWISE_16 = _kernel(
    "depthwise_16", _FOLDER.parent / "depthwise", "The same of int16, for each channel alone."
)
