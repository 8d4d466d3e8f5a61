"""The results of every operator that runs below autograd, by name and shape: what a cut is held against."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from secateur.graph import attention
from secateur.graph.code import is_own
from secateur.policy.policy import Entry

BOOKKEEPING = frozenset({"detach", "alias", "lift_fresh", "clone", "contiguous"})
"""Operators that torch puts in or leaves out as it likes."""

RESHAPES = frozenset({"_unsafe_view", "reshape", "_reshape_alias"})
"""Names of ``view``, by how the memory happens to lie."""

Result = tuple[str, tuple[tuple[int, ...], ...]]
"""Name of an operator, and the shapes of its results."""


class Watch(TorchDispatchMode):
    """A dispatch mode without torch's guard against compiling it, which costs a good part of every call."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _ShapeLog(Watch):
    """Writes down the shapes of every operator's results."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Result] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = tensors_in(out)
        if tensors and (name := operator_name(func)) not in BOOKKEEPING:
            self.results.append((comparable_name(name), tuple(tuple(t.shape) for t in tensors)))
        return out


@cache
def operator_name(func: Any) -> str:
    """ATen's name of an operator, the same in place and not."""
    name = func._schema.name.removeprefix("aten::")
    return name.removesuffix("_") if not name.endswith("__") else name


def comparable_name(name: str) -> str:
    """One name for what torch calls by several."""
    return "view" if name in RESHAPES else name


def tensors_in(out: Any) -> list[torch.Tensor]:
    """The tensors that an operator gave; none for one that holds nothing, as batch norms make and leave."""
    if isinstance(out, torch.Tensor):
        return [out] if out.numel() else []
    return [t for t in out if isinstance(t, torch.Tensor)] if isinstance(out, (list, tuple)) else []


def tensors_of(modules: Sequence[tuple[str, nn.Module]]) -> list[tuple[str, torch.Tensor]]:
    """Parameters and then buffers by path, each once, in the order of ``named_parameters`` and ``named_buffers``.

    Args:
        modules: from ``named_modules``; not to walk through them again and again is what this is for.
    """
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for kind in ("_parameters", "_buffers"):
        for path, inner in modules:
            for name, tensor in getattr(inner, kind).items():
                if tensor is not None:
                    found.setdefault(id(tensor), (f"{path}.{name}" if path else name, tensor))
    return list(found.values())


@contextmanager
def evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Evaluation mode without gradients, off fused kernels, whose insides a trace cannot see; as before afterwards.

    So are buffers that a module of the policy's own writes into.

    Args:
        modules: the policy's module, and all modules inside it.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    training = [inner for inner in modules if inner.training]
    if training:
        modules[0].eval()
    torch.backends.mha.set_fastpath_enabled(False)
    buffers = [
        (inner, name, buffer, buffer.clone())
        for inner in modules
        if inner._buffers and is_own(inner)
        for name, buffer in inner._buffers.items()
        if buffer is not None
    ]
    try:
        with torch.backends.mkldnn.flags(enabled=False), torch.no_grad(), attention.free_for_now(modules):
            yield
    finally:
        for inner, name, buffer, before in buffers:
            inner._buffers[name] = buffer
            if not torch.equal(buffer, before):
                buffer.copy_(before)
        torch.backends.mha.set_fastpath_enabled(fused)
        for inner in training:
            inner.training = True


def shapes_of_results(modules: Sequence[nn.Module], entries: Iterable[Entry]) -> list[Result]:
    """Name and shapes of the results of every operator, over all entries, as ``Trace.results`` has their axes.

    ``modules`` are the policy's module, and all modules inside it.
    """
    log = _ShapeLog()
    with evaluating(modules):
        for entry in entries:
            inputs = {name: example.detach().clone() for name, example in entry.example_inputs.items()}
            with log:
                entry.run(modules[0], inputs)
    return log.results
