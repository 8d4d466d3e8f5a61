"""States of a recurrent network, stated in its .tflite: which output of a call is which input of the next.

They are a metadata entry of the file, JSON of input → output. Runtimes pass over entries that they do not know.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from secateur.export.quantize import Samples, Scale, convert

ENTRY = "secateur.states"
"""Name of the metadata entry."""


Quantizer = Callable[[bytes, Samples], bytes]
"""float .tflite and samples of its inputs → the model in another dtype."""


def state_keeping(
    dtype: str,
    states: Mapping[str, str],
    signature: str = "",
    given: Mapping[tuple[str, str], Scale] = {},
) -> Quantizer:
    """Stores a model in a dtype, with one scale for both ends of each state, and marks its states.

    Args:
        dtype: key of ``export.quantize.RECIPES``.
        states: input → output, from ``policy.unroll.fed_back``; for none it is ``convert`` alone.
        signature: that has them; the only one by default.
        given: see ``convert``.
    """
    ties = [(signature, output, fed) for fed, output in states.items()]
    return lambda model, samples: mark_states(
        convert(model, dtype, {signature: samples}, ties, given), states
    )


def mark_states(model: bytes, states: Mapping[str, str]) -> bytes:
    """The model with its states stated in it: input → output; the model itself where there are none."""
    if not states:
        return model
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    parsed: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    buffer = schema.BufferT()
    buffer.data = list(json.dumps(dict(states), sort_keys=True).encode())
    parsed.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, len(parsed.buffers) - 1
    kept = [old for old in parsed.metadata or [] if old.name not in (ENTRY, ENTRY.encode())]
    parsed.metadata = [*kept, entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))
