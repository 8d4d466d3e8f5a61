"""Rules of operators that rearrange: the same channels, seen in another shape, order or piece."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from secateur.graph import axes
from secateur.graph.axes import Axis

Axes = tuple[Axis, ...]
"""One axis per dimension of a tensor."""


class Look(Protocol):
    """What a rule may ask of the trace."""

    def __call__(self, tensor: torch.Tensor) -> Axes:
        """The tensor's axes, as known so far."""

    def count(self, attribute: str, n: int, why: str) -> Axis:
        """The axis that an attribute of the library module at work counts; fixed, and why, where there is none."""


def same(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """The result has the argument's axes."""
    return look(args[0])


def view(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Neighbouring axes are merged or split; the smallest runs of equal product correspond."""
    return reshape(look(args[0]), tuple(args[0].shape), tuple(out.shape))


def reshape(given: Axes, before: tuple[int, ...], after: tuple[int, ...]) -> Axes:
    """Axes of a tensor of shape ``before`` seen in shape ``after``."""
    sources = [axis for axis, n in zip(given, before) if n != 1]
    sizes = [n for n in before if n != 1]
    result: list[Axis] = []
    i = j = 0
    wanted = [n for n in after if n != 1]
    while j < len(wanted):
        run, made = [sources[i]], [wanted[j]]
        left, right = sizes[i], wanted[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                run.append(sources[i])
                left *= sizes[i]
                i += 1
            else:
                made.append(wanted[j])
                right *= wanted[j]
                j += 1
        if len(made) == 1:
            result.append(axes.product(run))
        else:
            new = [axes.free(n) for n in made]
            axes.unify(axes.product(run), axes.product(new))
            result.extend(new)
    parts = iter(result)
    return tuple(axes.fixed(1, "") if n == 1 else next(parts) for n in after)


def transpose(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Two axes change places."""
    given = list(look(args[0]))
    a, b = (args[1], args[2]) if len(args) > 2 else (0, len(given) - 1)
    if given:
        given[a], given[b] = given[b], given[a]
    return tuple(given)


def permute(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Axes in another order."""
    given = look(args[0])
    return tuple(given[d] for d in args[1])


def unsqueeze(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A new axis of one."""
    given = list(look(args[0]))
    at = args[1] % (len(given) + 1)
    return (*given[:at], axes.fixed(1, ""), *given[at:])


def expand(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Axes of one are repeated, mostly to the size of another tensor (``expand_as``)."""
    given, before = look(args[0]), args[0].shape
    lead = out.dim() - len(before)
    return tuple(
        given[d - lead] if d >= lead and before[d - lead] == n else axes.free(n)
        for d, n in enumerate(out.shape)
    )


def concatenate(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Axes one after the other along one dimension, equal along the rest."""
    tensors = [t for t in args[0] if t.numel() or t.dim() == out.dim()]
    at = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    result = list(look(tensors[0]))
    for tensor in tensors[1:]:
        for d, axis in enumerate(look(tensor)):
            if d == at:
                result[d] = result[d] + axis
            else:
                axes.unify(result[d], axis)
    return tuple(result)


def stack(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A new axis that counts the tensors; the others are equal."""
    at = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    result = list(look(args[0][0]))
    for tensor in args[0][1:]:
        for one, two in zip(result, look(tensor)):
            axes.unify(one, two)
    return (*result[:at], axes.fixed(len(args[0]), "it counts what is stacked"), *result[at:])


def _cut(axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """An axis in consecutive pieces."""
    pieces = [axes.free(n) for n in sizes]
    axes.unify(axis, tuple(segment for piece in pieces for segment in piece))
    return pieces


def split(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Sequence[torch.Tensor]) -> list[Axes]:
    """An axis in consecutive pieces; those that are equal by number (``chunk``) must stay equal, so are one axis."""
    given = list(look(args[0]))
    at = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % len(given)
    sizes = [part.shape[at] for part in out]
    pieces = _cut(given[at], sizes) if len(out) > 1 else [given[at]]
    if isinstance(args[1], int) and len(set(sizes)) > 1:
        axes.fix(given[at], "it is split into pieces that are not equal, by their number")
    elif isinstance(args[1], int):
        for piece in pieces[1:]:
            axes.unify(pieces[0], piece)
    return [(*given[:at], piece, *given[at + 1 :]) for piece in pieces]


def narrow(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """``slice``: a run of channels; a step other than one leaves the axis whole."""
    given = list(look(args[0]))
    at, start, _, step = (list(args[1:]) + [0, None, None, 1][len(args) - 1 :])[:4]
    at %= len(given)
    total, kept = args[0].shape[at], out.shape[at]
    if kept == total:
        return tuple(given)
    if step != 1:
        axes.fix(given[at], "it is sliced with a step")
        given[at] = axes.fixed(kept, "it is sliced with a step")
        return tuple(given)
    start = 0 if start is None else min(max(start + total if start < 0 else start, 0), total)
    sizes = [n for n in (start, kept, total - start - kept) if n]
    given[at] = _cut(given[at], sizes)[1 if start else 0]
    return tuple(given)


def select(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """One channel, by its number: the axis must stay."""
    given = list(look(args[0]))
    at = args[1] % len(given)
    axes.fix(given[at], "single channels of it are picked by number")
    return (*given[:at], *given[at + 1 :])


def unbind(
    look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Sequence[torch.Tensor]
) -> list[Axes]:
    """Every channel by its number: the axis must stay."""
    given = list(look(args[0]))
    at = (args[1] if len(args) > 1 else 0) % len(given)
    axes.fix(given[at], "single channels of it are picked by number")
    return [(*given[:at], *given[at + 1 :])] * len(out)


def repeat(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Every axis so many times over, new ones in front."""
    given, times = look(args[0]), args[1]
    lead = len(times) - len(given)
    copies = [axes.fixed(n, "it counts copies") for n in times]
    return (*copies[:lead], *(axes.product([n, axis]) for n, axis in zip(copies[lead:], given)))


def ordered(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """``flip``, ``cumsum``: an axis whose order counts stays whole."""
    given = look(args[0])
    for d in [args[1]] if isinstance(args[1], int) else args[1]:
        axes.fix(given[d], "its channels are used in their order")
    return given


def pad(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A padded axis stays whole."""
    given = look(args[0])
    result = []
    for axis, before, n in zip(given, args[0].shape, out.shape):
        if before != n:
            axes.fix(axis, "it is padded")
        result.append(axis if before == n else axes.fixed(n, "it is padded"))
    return tuple(result)
