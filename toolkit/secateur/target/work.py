"""What a network asks of a computer that runs it: the terms that latency is predicted from."""

import math
from dataclasses import dataclass

import numpy as np

from secateur.network import Network, Operator

TERMS = ("call", "operator", "dense", "conv", "depthwise", "idle", "tap", "weight_byte", "activation_byte")
"""Calls; operators; multiply-accumulates by kind, and those that vectors do for no output; places of a convolution's
kernel, times vectors of its result; bytes of weights and of activations that pass through memory."""

VECTOR = 16
"""Outputs of a layer that are computed together: the tile of XNNPACK's kernels, or its half."""

FREE = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operators that move nothing."""


@dataclass(frozen=True)
class Work:
    """Amounts of each term, for one call.

    Attributes:
        operators: that do something.
        dense, conv, depthwise: multiply-accumulates.
        idle: that the last vector of outputs does beside these, of dense and whole convolutional layers.
        taps: kernel places times vectors of the result, of whole convolutions.
        weights_bytes: constants, each once.
        activations_bytes: results of all operators, each once.
    """

    operators: int
    dense: int
    conv: int
    depthwise: int
    weights_bytes: int
    activations_bytes: int
    idle: int = 0
    taps: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all kinds."""
        return self.dense + self.conv + self.depthwise

    def amounts(self) -> dict[str, float]:
        """Term → amount, for one call."""
        return {
            "call": 1.0,
            "operator": float(self.operators),
            "dense": float(self.dense),
            "conv": float(self.conv),
            "depthwise": float(self.depthwise),
            "idle": float(self.idle),
            "tap": float(self.taps),
            "weight_byte": float(self.weights_bytes),
            "activation_byte": float(self.activations_bytes),
        }


def work_of(network: Network) -> Work:
    """Counts the work of a network as its file states it."""
    macs = {"dense": 0, "conv": 0, "depthwise": 0}
    constants: set[int] = set()
    folded = {index for index, tensor in enumerate(network.tensors) if tensor.constant}
    operators = results = idle = taps = 0
    for operator in network.operators:
        if operator.kind in FREE:
            continue
        if all(index in folded for index in operator.inputs if index >= 0):  # float16 weights, unpacked once
            folded |= set(operator.outputs)
            continue
        operators += 1
        kind, count = _macs(operator, network)
        if kind:
            macs[kind] += count
        outputs = network.tensors[operator.outputs[0]].shape
        if kind in ("dense", "conv"):
            idle += count // outputs[-1] * (-outputs[-1] % VECTOR)
        if kind == "conv":
            vectors = -(-outputs[-1] // VECTOR)
            window = math.prod(network.tensors[operator.inputs[1]].shape[1:3])
            taps += math.prod(outputs[:-1]) * window * vectors
        constants |= {index for index in operator.inputs if index in folded}
        results += sum(_bytes(network, index) for index in operator.outputs)
    return Work(
        operators,
        **macs,
        weights_bytes=sum(_bytes(network, index) for index in constants),
        activations_bytes=results,
        idle=idle,
        taps=taps,
    )


def _bytes(network: Network, index: int) -> int:
    tensor = network.tensors[index]
    return math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize


def _macs(operator: Operator, network: Network) -> tuple[str, int]:
    def shape(index: int) -> tuple[int, ...]:
        return network.tensors[index].shape

    out = math.prod(shape(operator.outputs[0]))
    if operator.kind == "FULLY_CONNECTED":
        return "dense", out * shape(operator.inputs[1])[-1]
    if operator.kind == "BATCH_MATMUL":
        return "dense", out * shape(operator.inputs[0])[-2 if operator.options.get("adjX") else -1]
    if operator.kind == "CONV_2D":
        return "conv", out * math.prod(shape(operator.inputs[1])[1:])
    if operator.kind == "DEPTHWISE_CONV_2D":
        return "depthwise", out * math.prod(shape(operator.inputs[1])[1:3])
    return "", 0


def dtype_of(network: Network) -> str:
    """Key of ``computer.COMPUTER_DTYPES`` that a file is of, by its tensors."""
    results = {network.tensors[index].dtype for operator in network.operators for index in operator.outputs}
    constants = {tensor.dtype for tensor in network.tensors if tensor.constant}
    if "int16" in results:
        return "int16x8"
    if "int8" in results:
        return "int8"
    if "int8" in constants:
        return "dynamic"
    return "float16" if "float16" in constants else "float32"
