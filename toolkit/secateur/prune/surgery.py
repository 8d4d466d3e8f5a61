"""Widths → a new policy. The original is never touched."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.graph import axes
from secateur.graph.attention import free_widths
from secateur.graph.axes import Axis
from secateur.graph.groups import ComponentGraph
from secateur.graph.results import Result, shapes_of_results, tensors_of
from secateur.policy.policy import Entry, Policy
from secateur.policy.weights import save_all_buffers
from secateur.records import Widths

Keep = Mapping[str, torch.Tensor]
"""Pruning group → sorted indices of the channels it keeps, int64 ``[width]``. A group not named is kept whole."""


Modules = list[tuple[str, nn.Module]]
"""A module and all modules inside it, by path, as ``named_modules`` gives them."""


def cut(policy: Policy, graph: ComponentGraph, keep: Keep) -> Policy:
    """A copy of ``policy`` that holds only the kept channels, in their old order.

    Raises:
        SecateurError: an unknown group, indices out of range or not ascending, or a policy whose code has a
            width written into it, so that it no longer runs.
    """
    _check(graph, keep)
    return _cut(policy, graph, keep)


def _cut(policy: Policy, graph: ComponentGraph, keep: Keep) -> Policy:
    module = deepcopy(policy.module)
    modules = list(module.named_modules())
    save_all_buffers(module)
    widths = {**graph.full, **{name: len(index) for name, index in keep.items()}}
    for parameter in module.parameters():
        parameter.grad = None
    _narrow(modules, graph, widths, lambda path, tensor: _kept(graph, path, tensor, keep))
    pruned = replace(policy, module=module, entries=_resized(policy.entries, graph, widths))
    inside = [inner for _, inner in modules]
    _hold_to_shapes(policy, graph, widths, lambda: shapes_of_results(inside, pruned.entries))
    return pruned


def try_widths(policy: Policy, graph: ComponentGraph, widths: Widths) -> None:
    """Runs every entry at the given widths, on the first channels of each group, and puts the module back as it was.

    Raises:
        SecateurError: the policy's code has a width written into it.
    """
    complete = {**graph.full, **widths}
    modules = list(policy.module.named_modules())

    def shapes() -> list[Result]:
        with _narrowed(modules, graph, complete):
            inside = [inner for _, inner in modules]
            return shapes_of_results(inside, _resized(policy.entries, graph, complete))

    _hold_to_shapes(policy, graph, complete, shapes)


def rebuild(policy: Policy, graph: ComponentGraph, widths: Widths) -> Policy:
    """The architecture at the given widths, to load weights into: original code + widths, no pickles.

    Raises:
        SecateurError: widths of other groups, or greater ones.
    """
    for name, width in widths.items():  # before as many indices are made
        _require_width(graph, name, width)
    return cut(policy, graph, {name: torch.arange(width) for name, width in widths.items()})


def _require_width(graph: ComponentGraph, name: str, width: int) -> None:
    if name not in graph.by_name:
        raise SecateurError(
            "widths name groups of this policy",
            f"there is no group {name!r}",
            "Use widths of this architecture.",
        )
    if not 1 <= width <= graph.by_name[name].width:
        raise SecateurError(
            "a group keeps between one channel and all, each once",
            f"{name} of {graph.by_name[name].width} would keep {width:,}",
            "Use widths of this architecture.",
        )


def resized(policy: Policy, graph: ComponentGraph, widths: Widths) -> Policy:
    """The architecture at any widths, greater ones among them, where channels come again: to convert, not to run.

    Raises:
        SecateurError: the policy's code has a width written into it.
    """
    return _cut(
        policy, graph, {name: torch.arange(n) % graph.by_name[name].width for name, n in widths.items()}
    )


def _check(graph: ComponentGraph, keep: Keep) -> None:
    for name, index in keep.items():
        _require_width(graph, name, len(index))
        width = graph.by_name[name].width
        ascending = bool((index[1:] > index[:-1]).all())
        if not ascending or int(index[0]) < 0 or int(index[-1]) >= width:
            raise SecateurError(
                "a group keeps between one channel and all, each once",
                f"{name} of {width} would keep {index.tolist()[:8]}…",
                "Use widths of this architecture.",
            )


def kept_indices(graph: ComponentGraph, axis: Axis, keep: Keep) -> torch.Tensor:
    """Kept positions along one axis, ascending."""
    parts, offset = [], 0
    for segment in axes.normal(axis):
        positions = torch.zeros(1, dtype=torch.int64)
        for dim in segment:
            name = graph.dims.get(dim)
            chosen = keep[name] if name is not None and name in keep else torch.arange(dim.size)
            positions = (positions[:, None] * dim.size + chosen[None, :]).reshape(-1)
        parts.append(positions + offset)
        offset += axes.segment_size(segment)
    return torch.cat(parts)


def _kept(graph: ComponentGraph, path: str, tensor: torch.Tensor, keep: Keep) -> torch.Tensor:
    for position, axis in enumerate(graph.trace.weights[path]):
        index = kept_indices(graph, axis, keep)
        if len(index) != tensor.shape[position]:
            tensor = tensor.index_select(position, index)
    return tensor


def _narrow(
    modules: Modules,
    graph: ComponentGraph,
    widths: Widths,
    take: Callable[[str, torch.Tensor], torch.Tensor],
) -> None:
    """Gives a module's parameters and buffers what ``take`` leaves of them, and makes its attributes agree."""
    for path, tensor in tensors_of(modules):
        left = take(path, tensor.detach())
        if left.shape != tensor.shape:
            tensor.data = left
    free_widths(inner for _, inner in modules)
    by_path = dict(modules)
    for (path, attribute), axis in graph.trace.counts.items():
        count = graph.size(axis, widths)
        setattr(by_path[path], attribute, (count,) if attribute == "normalized_shape" else count)
    for _, inner in modules:
        refresh_attributes(inner)


@contextmanager
def _narrowed(modules: Modules, graph: ComponentGraph, widths: Widths) -> Iterator[None]:
    """The module itself at the given widths inside the block, and as it was afterwards."""
    data = [(tensor, tensor.data) for _, tensor in tensors_of(modules)]
    states = [(inner, type(inner), dict(vars(inner))) for _, inner in modules]
    size, weights = graph.sizes_at(widths), graph.trace.weights
    try:
        _narrow(modules, graph, widths, lambda path, t: _fit(t, tuple(map(size, weights[path]))))
        yield
    finally:
        for tensor, before in data:
            tensor.data = before
        for inner, kind, state in states:
            inner.__class__ = kind
            vars(inner).update(state)


def _resized(entries: tuple[Entry, ...], graph: ComponentGraph, widths: Widths) -> tuple[Entry, ...]:
    """The entries with example inputs of the new shapes."""
    inputs = graph.trace.inputs
    return tuple(
        replace(
            entry,
            example_inputs={
                name: _fit(example, tuple(graph.size(axis, widths) for axis in inputs[entry.name, name]))
                for name, example in entry.example_inputs.items()
            },
        )
        for entry in entries
    )


def _fit(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The first of everything along every axis, and again from the first where there is more to fill."""
    if tensor.shape == shape:
        return tensor
    for axis, (n, wanted) in enumerate(zip(tensor.shape, shape)):
        if wanted > n:
            tensor = tensor.index_select(axis, torch.arange(wanted) % n)
    return tensor[tuple(map(slice, shape))].contiguous()


def _hold_to_shapes(
    policy: Policy, graph: ComponentGraph, widths: Widths, shapes: Callable[[], list[Result]]
) -> None:
    """Holds the results of every operator against the shapes that the graph expects.

    Code with a width or a position written in it may run on after a cut, and compute something else: ``h[:, :8]``
    takes other channels when some of the first eight are gone. Where one channel is left torch may take other
    operators (a sum for a product), so that is tried with two.
    """
    try:
        seen = shapes()
    except Exception as error:  # whatever a policy's code may raise
        raise SecateurError(
            "a policy's code takes its widths from its modules",
            f"{policy.name}: after pruning, an entry fails: {type(error).__name__}: {error}",
            "Replace widths written in forward() by module attributes or -1.",
        ) from error
    size = graph.sizes_at(widths)
    expected = [
        (name, tuple(tuple(map(size, its_axes)) for its_axes in results))
        for name, results in graph.trace.results
    ]
    if seen == expected:
        return
    single = {name: 2 for name, width in widths.items() if width == 1 < graph.full[name]}
    if single:
        try_widths(policy, graph, {**widths, **single})
        return
    one, two = next(
        pair for pair in zip_longest(seen, expected, fillvalue=("nothing", ())) if pair[0] != pair[1]
    )
    raise SecateurError(
        "a policy's code takes widths and positions from its modules",
        f"{policy.name}: after pruning, operator {one[0]} gives {list(one[1])}, where {list(two[1])} is left",
        "Replace widths, slices and split positions written in forward() by module attributes or -1.",
    )


def _linear(m: nn.Linear) -> None:
    m.out_features, m.in_features = m.weight.shape


def _convolution(m: Any) -> None:
    first, second = m.weight.shape[:2]
    produced, read = (second * m.groups, first) if m.transposed else (first, second * m.groups)
    m.out_channels, m.in_channels = produced, read


def _batch_norm(m: nn.modules.batchnorm._BatchNorm) -> None:
    for tensor in (m.weight, m.running_mean):
        if tensor is not None:
            m.num_features = len(tensor)


def _layer_norm(m: nn.LayerNorm | nn.RMSNorm) -> None:
    if m.weight is not None:
        m.normalized_shape = tuple(m.weight.shape)


def _group_norm(m: nn.GroupNorm) -> None:
    if m.weight is not None:
        m.num_channels = len(m.weight)


def _recurrent_cell(m: Any) -> None:
    m.hidden_size, m.input_size = m.weight_hh.shape[1], m.weight_ih.shape[1]


def _recurrent(m: Any) -> None:
    projected = getattr(m, "weight_hr_l0", m.weight_hh_l0)
    m.hidden_size, m.input_size = projected.shape[1], m.weight_ih_l0.shape[1]


def _embedding(m: nn.Embedding) -> None:
    m.num_embeddings, m.embedding_dim = m.weight.shape


def _attention(m: nn.MultiheadAttention) -> None:
    m.embed_dim = len(m.out_proj.weight)


def _encoder(m: nn.TransformerEncoder) -> None:
    m.use_nested_tensor = False  # it is for fused kernels, which know one width only


def _prelu(m: nn.PReLU) -> None:
    m.num_parameters = len(m.weight)


ATTRIBUTES: dict[type[nn.Module], Callable[[Any], None]] = {
    nn.Linear: _linear,
    nn.modules.conv._ConvNd: _convolution,
    nn.modules.batchnorm._BatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.RNNCellBase: _recurrent_cell,
    nn.RNNBase: _recurrent,
    nn.Embedding: _embedding,
    nn.MultiheadAttention: _attention,
    nn.TransformerEncoder: _encoder,
    nn.PReLU: _prelu,
}
"""Module class → how its size attributes follow from the shapes of its weights."""


@cache
def _refreshers(kind: type[nn.Module]) -> tuple[Callable[[Any], None], ...]:
    return tuple(refresh for base, refresh in ATTRIBUTES.items() if issubclass(kind, base))


def refresh_attributes(module: nn.Module) -> None:
    """Makes ``in_features`` and the like agree with the weights."""
    for refresh in _refreshers(type(module)):  # type: ignore[arg-type]
        refresh(module)
