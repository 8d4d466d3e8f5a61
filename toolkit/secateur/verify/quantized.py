"""Between the numbers of the task and the integers of the network, with the arithmetic of TFLite.

``stored = clamp(round(x / scale) + zero_point)``, with the division in float32 and halves rounded away from
zero. This is ``AffineQuantize`` of TensorFlow Lite's reference kernels, which TFLM runs for QUANTIZE, and C's
``roundf(x / scale)``, so a robot's C code gives the same byte. (LiteRT's fast kernels round halves to even:
another byte now and then.) Back, ``scale · (stored − zero_point)`` in float32 is exact to one rounding.
"""

from collections.abc import Mapping

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Network, Quantization, Tensor


def quantize(values: np.ndarray, ports: Mapping[str, int], network: Network, name: str) -> np.ndarray:
    """Real numbers ``[n, ...]`` as the network stores its input ``name``.

    Args:
        values: float32 ``[n, ...]``.
        ports: ``network.inputs`` (or outputs).
        network: whose tensors carry the scales.
        name: of the input.

    Returns:
        ``[n, ...]`` of the tensor's type; unchanged but for the type where the tensor is not quantised.

    Raises:
        SecateurError: no such input, or another shape.
    """
    tensor = _port(values, ports, network, name)
    if tensor.quantization is None:
        return values.astype(_dtype(tensor))
    scale, zero_point = _scalar(tensor.quantization, name)
    limits = np.iinfo(_dtype(tensor))
    with np.errstate(over="ignore"):
        ratio = (values.astype(np.float32) / np.float32(scale)).astype(np.float64)
    rounded = np.trunc(ratio + np.copysign(0.5, ratio))  # exact: a float32 plus a half fits float64
    return np.clip(rounded + zero_point, limits.min, limits.max).astype(limits.dtype)


def dequantize(stored: np.ndarray, ports: Mapping[str, int], network: Network, name: str) -> np.ndarray:
    """The inverse, for an output of the network: ``[n, ...]`` float32."""
    tensor = _port(stored, ports, network, name)
    if tensor.quantization is None:
        return stored.astype(np.float32)
    scale, zero_point = _scalar(tensor.quantization, name)
    return np.float32(scale) * (stored.astype(np.int32) - zero_point).astype(np.float32)


def _port(values: np.ndarray, ports: Mapping[str, int], network: Network, name: str) -> Tensor:
    if name not in ports:
        raise SecateurError(
            "the task and the network use the same names",
            f"the network has no {name!r}, it has {', '.join(sorted(ports))}",
            "Name the entry's tensors in policy.py as to_inputs and to_action do.",
        )
    tensor = network.tensors[ports[name]]
    if values.shape[1:] != tensor.shape[1:]:
        raise SecateurError(
            "the task and the network use the same shapes",
            f"{name!r} is {list(values.shape)} (first axis: rows), the network's is {list(tensor.shape)}",
            "Correct to_inputs or the entry's example inputs.",
        )
    return tensor


def _dtype(tensor: Tensor) -> np.dtype:
    return np.dtype(tensor.dtype.lower())


def _scalar(quantization: Quantization, name: str) -> tuple[float, int]:
    if len(quantization.scales) != 1:
        raise SecateurError(
            "inputs and outputs of a network have one scale each",
            f"{name!r} has {len(quantization.scales)}",
            "Quantise activations per tensor.",
        )
    return quantization.scales[0], quantization.zero_points[0]
