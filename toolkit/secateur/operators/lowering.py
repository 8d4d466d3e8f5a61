"""A network that is being lowered: which operators are done, where each tensor lives, steps so far."""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np

from secateur.errors import SecateurError
from secateur.network import Network, Operator, Tensor
from secateur.operators.program import BY_SPEED, Buffer, Choice, Program, Step, lifetimes

_MODULE = re.compile(r"[A-Z][A-Za-z0-9]*_(.+)")


@lru_cache(maxsize=4096)
def readable(name: str) -> str:
    """A converter's tensor name → the path of the module it came from.

    ``"pkg.Policy/pkg.Encoder_encoder/torch.nn.modules.linear.Linear_fc1;…"`` → ``"encoder/fc1"``;
    any other name → itself up to its first semicolon.
    """
    first = next((part for part in name.split(";") if part), name)
    path = [_MODULE.fullmatch(part.rsplit(".", 1)[-1]) for part in first.split("/")]
    return "/".join(match[1] for match in path if match) or first.strip("/") or name


ITEM_BYTES = {"int8": 1, "bool": 1, "int16": 2, "float32": 4}
"""Type of an activation → bytes of an element."""


class Lowering:
    """A network on its way to becoming a program. Rules call it; nobody else sees it."""

    def __init__(self, network: Network, choice: Choice = BY_SPEED) -> None:
        self.network, self.choice = network, choice
        self.done: set[int] = set()
        self._steps: list[Step] = []
        self._sizes: list[int] = []
        self._names: list[str] = []
        self._tensors: list[list[int]] = []
        self._where: dict[int, int] = {}
        self._labels: set[str] = set()
        self._results = frozenset(network.outputs.values())
        self._consumers: dict[int, list[int]] = {}
        self._producers = {
            tensor: index for index, operator in enumerate(network.operators) for tensor in operator.outputs
        }
        for index, operator in enumerate(network.operators):
            for tensor in operator.inputs:
                self._consumers.setdefault(tensor, []).append(index)
        self.places = {name: self.new_buffer(tensor) for name, tensor in network.inputs.items()}
        """Input → where each call finds it, whatever else its tensor is moved to as an output."""

    def tensor(self, index: int) -> Tensor:
        """A tensor of the network."""
        return self.network.tensors[index]

    def sole_consumer(self, tensor: int) -> int | None:
        """The one operator that reads a tensor, or None if there are several, none, or if it is an output."""
        consumers = self._consumers.get(tensor, ())
        return consumers[0] if len(consumers) == 1 and tensor not in self._results else None

    def consumers(self, tensor: int) -> Sequence[int] | None:
        """The operators that read a tensor, or None if it is an output too."""
        return None if tensor in self._results else self._consumers.get(tensor, ())

    def producer(self, tensor: int) -> int | None:
        """The operator that writes a tensor, or None."""
        return self._producers.get(tensor)

    def integers(self, operator: Operator, position: int) -> np.ndarray:
        """The constant int32 or int64 that an operator reads at a position of its inputs, in its shape."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        data = self.tensor(index).data if index != -1 else None
        if data is None or data.dtype not in (np.dtype(np.int32), np.dtype(np.int64)):
            raise unsupported(
                operator,
                self.tensor(operator.outputs[0]),
                f"has an input {position} that is not a constant of integers",
                "Make sizes, axes and amounts of padding constants.",
            )
        return data

    def __contains__(self, tensor: int) -> bool:
        return tensor in self._where

    def buffer(self, tensor: int) -> int:
        """Where a tensor lives."""
        if tensor not in self._where:
            raise SecateurError(
                "operators read activations from the graph's inputs or from other operators",
                f"{self.tensor(tensor).name!r} is a constant",
                "Fold constant parts of the model before converting it.",
            )
        return self._where[tensor]

    def source(self, tensor: int) -> int | None:
        """Where a tensor lives; None for a constant."""
        return None if self.tensor(tensor).constant else self.buffer(tensor)

    def check_activation(self, tensor: int) -> None:
        """Refuse a tensor that is no activation of a microcontroller."""
        check_activation(self.tensor(tensor))

    def item_bytes(self, tensor: int) -> int:
        """Of an element of an activation."""
        return ITEM_BYTES[self.tensor(tensor).dtype]

    def new_buffer(self, tensor: int) -> int:
        """A buffer of its own for an activation, or for truth values."""
        if self.tensor(tensor).dtype != "bool":
            self.check_activation(tensor)
        self._sizes.append(prod(self.tensor(tensor).shape) * self.item_bytes(tensor))
        self._names.append(self.tensor(tensor).name)
        self._tensors.append([tensor])
        self._where[tensor] = len(self._sizes) - 1
        return self._where[tensor]

    def size(self, buffer: int) -> int:
        """Bytes of a buffer."""
        return self._sizes[buffer]

    def new_scratch(self, label: str, size_bytes: int) -> int:
        """A buffer for the use of one step, which lists it last among what it writes."""
        self._sizes.append(size_bytes)
        self._names.append(f"{label}/scratch")
        self._tensors.append([])
        return len(self._sizes) - 1

    def alias(self, tensor: int, source: int) -> None:
        """The tensor lives in the bytes of ``source``: another view of them, or their successor."""
        self.check_activation(tensor)
        buffer = self.buffer(source)
        self._where[tensor] = buffer
        self._tensors[buffer].append(tensor)

    def may_overwrite(self, tensor: int, operators: Sequence[int]) -> bool:
        """True if nothing but ``operators`` still needs the bytes of a tensor, under any of its names."""
        finished = self.done | set(operators)
        return not any(
            name in self._results or not finished.issuperset(self._consumers.get(name, ()))
            for name in self._tensors[self._where[tensor]]
        )

    def label(self, tensor: int, suffix: str = "") -> str:
        """A label for a step, unique, after a tensor."""
        base = readable(self.tensor(tensor).name) + suffix
        label, count = base, 2
        while label in self._labels:
            label, count = f"{base}.{count}", count + 1
        self._labels.add(label)
        return label

    def label_of_writer(self, tensor: int) -> str | None:
        """The label of the last step that wrote a tensor's buffer, if a step did."""
        buffer = self.buffer(tensor)
        return next((step.label for step in reversed(self._steps) if buffer in step.writes), None)

    def derived_label(self, tensor: int, suffix: str) -> str:
        """A label after the step that wrote a tensor: ``"policy/fc3"`` → ``"policy/fc3/tanh"``."""
        writer = self.label_of_writer(tensor)
        if writer is None:
            return self.label(tensor, suffix)
        label, count = writer + suffix, 2
        while label in self._labels:
            label, count = f"{writer}{suffix}.{count}", count + 1
        self._labels.add(label)
        return label

    def add(self, step: Step) -> None:
        """Append a step; its operators are done."""
        self._steps.append(step)
        self.done.update(step.operators)

    def program(self) -> Program:
        """The finished program, with the lifetimes of its buffers."""
        inputs = self.places
        outputs = {name: self._where[tensor] for name, tensor in self.network.outputs.items()}
        spans = lifetimes(self.network, self._steps, inputs, outputs, (), len(self._sizes))
        buffers = tuple(
            Buffer(name, size, *span) for name, size, span in zip(self._names, self._sizes, spans)
        )
        return Program(self.network, tuple(self._steps), buffers, inputs, outputs)


def check_activation(entry: Tensor) -> None:
    """Refuse a tensor that is not int8 or int16 with one scale and zero point, that of int16 zero, nor float32."""
    if entry.dtype == "float32" and entry.quantization is None:
        return
    if (
        entry.dtype not in ("int8", "int16")
        or entry.quantization is None
        or len(entry.quantization.scales) != 1
    ):
        kind = (
            f"{entry.dtype} without one scale for the tensor"
            if entry.dtype in ("int8", "int16")
            else entry.dtype
        )
        raise SecateurError(
            "activations on a microcontroller are float32, or int8 or int16 with one scale and zero point",
            f"tensor {entry.name!r} is {kind}",
            "Quantise the model fully to int8 or int16, inputs and outputs included, or leave it in float32.",
        )
    scale, zero_point = entry.quantization.scales[0], entry.quantization.zero_points[0]
    low, high = (-128, 127) if entry.dtype == "int8" else (0, 0)
    if not np.float32(scale) > 0 or not low <= zero_point <= high:
        bounds = f"a zero point from {low} to {high}" if low < high else "the zero point 0"
        raise SecateurError(
            f"an {entry.dtype} activation has a positive scale and {bounds}",
            f"tensor {entry.name!r} has scale {scale} and zero point {zero_point}",
            "Calibrate the model again.",
        )


def unsupported(operator: Operator, tensor: Tensor, seen: str, remedy: str) -> SecateurError:
    """The one error for what the back end lacks: names operator, tensor and module, and what to write instead."""
    module = readable(tensor.name)
    origin = f" (from {module})" if module != tensor.name else ""
    return SecateurError(
        f"{operator.kind} is supported in the forms listed in operators/",
        f"{operator.kind} that writes {tensor.name!r}{origin} {seen}",
        remedy,
    )
