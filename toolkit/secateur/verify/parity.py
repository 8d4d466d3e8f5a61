"""Whether the forms of one network agree: torch, float .tflite, int8 .tflite in TFLM, C on the device."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Network
from secateur.records import Parity
from secateur.verify.golden import Golden
from secateur.verify.quantized import dequantize

Arrays = Mapping[str, np.ndarray]


def compare(golden: Golden, float_outputs: Arrays, device_outputs: Arrays, network: Network) -> Parity:
    """Compares every hop on the golden vectors.

    What torch and int8 have in their own memories is no action: where a network keeps states, that hop is judged by its
    other outputs, along episodes through which either keeps its own.

    Args:
        golden: inputs, torch's outputs, TFLM's outputs.
        float_outputs: of the float .tflite for the same inputs; name → ``[n, ...]`` float32.
        device_outputs: of the device for ``golden.quantized_inputs``; name → ``[n, ...]``, stored integers.
        network: the int8 .tflite, for the scales of its outputs.

    Raises:
        SecateurError: outputs of another name, shape or type.
    """
    real = {
        name: dequantize(array, network.outputs, network, name) for name, array in golden.quantized.items()
    }
    return Parity(
        vectors=golden.vectors,
        float_max_abs_error=max_abs_error(golden.torch, float_outputs),
        int8_mismatched_bytes=mismatched_bytes(golden.quantized, device_outputs),
        int8_max_abs_error=max_abs_error(*(_acting(outputs, network) for outputs in (golden.torch, real))),
        largest_output=max(float(np.abs(array).max(initial=0.0)) for array in golden.torch.values()),
    )


def parity_of_parts(parities: Mapping[str, Parity]) -> Parity:
    """Of several networks, the last of which moves the robot: all vectors and bytes, and the worst errors.

    The error against torch in float is that of the network where it is largest beside its outputs; of int8 it is that
    of the last, in units of the action.
    """
    *_, last = parities.values()
    worst = max(parities.values(), key=lambda p: p.float_max_abs_error / max(1.0, p.largest_output))
    bytes_ = [p.int8_mismatched_bytes for p in parities.values()]
    return replace(
        last,
        vectors=sum(p.vectors for p in parities.values()),
        float_max_abs_error=worst.float_max_abs_error,
        largest_output=worst.largest_output,
        int8_mismatched_bytes=None if None in bytes_ else sum(n for n in bytes_ if n is not None),
    )


def _acting(outputs: Arrays, network: Network) -> Arrays:
    """Outputs without states; all of them where there is no other."""
    states = network.states.values()
    return {name: array for name, array in outputs.items() if name not in states} or outputs


def max_abs_error(expected: Arrays, got: Arrays) -> float:
    """The largest absolute difference over all outputs; NaN where one of them holds a NaN."""
    worst = 0.0
    for _, left, right in _pairs(expected, got):
        difference = np.abs(left.astype(np.float64) - right.astype(np.float64))
        worst = float(np.maximum(worst, difference.max(initial=0.0)))
    return worst


def mismatched_bytes(expected: Arrays, got: Arrays) -> int:
    """How many bytes differ, over all outputs."""
    count = 0
    for name, left, right in _pairs(expected, got):
        if left.dtype != right.dtype:
            raise SecateurError(
                "outputs that are compared byte for byte have one type",
                f"{name!r} is {left.dtype} and {right.dtype}",
                "Compare artifacts of the same quantisation.",
            )
        left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
        count += int(np.count_nonzero(left.view(np.uint8) != right.view(np.uint8)))
    return count


def _pairs(expected: Arrays, got: Arrays) -> list[tuple[str, np.ndarray, np.ndarray]]:
    if expected.keys() != got.keys():
        raise SecateurError(
            "every form of a network has the same outputs",
            f"{sorted(expected)} and {sorted(got)}",
            "Export all of them from one policy.",
        )
    for name, array in expected.items():
        if array.shape != got[name].shape:
            raise SecateurError(
                "every form of a network gives outputs of the same shape",
                f"{name!r} is {list(array.shape)} and {list(got[name].shape)}",
                "Export all of them from one policy, and run all on the same vectors.",
            )
    return [(name, array, got[name]) for name, array in expected.items()]
