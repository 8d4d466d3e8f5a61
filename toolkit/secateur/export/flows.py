"""Networks that feed each other, stored one after the other: each takes a flow in the scale in which it is made.

The C of the one hands bytes to the C of the other, so a flow has one scale and one zero point at both ends. What a
network makes may have no choice of scale (a TANH has one of its own); what a network takes has. So the scale is that of
the network that makes the flow, and where the other needs another one, it converts within.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from secateur.errors import SecateurError
from secateur.export.quantize import CALIBRATED, Samples, Scale, convert
from secateur.export.states import mark_states
from secateur.records import Part

Models = Mapping[str, bytes]
"""Part → .tflite."""

Quantizer = Callable[[Models, Mapping[str, Samples]], dict[str, bytes]]
"""float .tflite of each part, and samples of its inputs → the parts in another dtype."""


def parts_storing(
    dtype: str, parts: Sequence[Part], states: Mapping[str, str] = {}, named: bool = False
) -> Quantizer:
    """Stores parts in a dtype, in the order in which they run.

    Args:
        dtype: key of ``export.quantize.RECIPES``.
        parts: of a policy.
        states: input → output that the deployed part feeds back to itself: one scale for both ends, and stated in it.
        named: whether each .tflite has a signature of its part's name, rather than one without.
    """

    def stored(models: Models, samples: Mapping[str, Samples]) -> dict[str, bytes]:
        made: dict[str, bytes] = {}
        for part in parts:
            signature = part.name if named else ""
            ties = [(signature, output, fed) for fed, output in states.items()] if part is parts[-1] else []
            given = {
                (signature, name): scale_of(made[feeding], output)
                for name, (feeding, output) in part.fed.items()
                if dtype in CALIBRATED
            }
            model = convert(models[part.name], dtype, {signature: samples[part.name]}, ties, given)
            made[part.name] = mark_states(model, states) if ties else model
        return made

    return stored


def scale_of(model: bytes, output: str) -> Scale:
    """Scale and zero point of an output of a quantised .tflite with one signature.

    Raises:
        SecateurError: it is not quantised, or in several scales.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    details: Any = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    found = details.get_output_details()[output]
    scale, zero_point = found["quantization"]
    if not np.dtype(found["dtype"]).kind == "i" or not scale:
        raise SecateurError(
            "what one part hands to another is quantised",
            f"{output!r} is {np.dtype(found['dtype']).name}",
            "End the entry with an operator that the quantiser knows, or store the policy as float32.",
        )
    return float(scale), int(zero_point)
