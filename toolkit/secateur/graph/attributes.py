"""Numbers that a user's module keeps and its code reshapes by: ``view(batch, length, self.heads, self.width)``.

While a policy is traced, integer attributes of its own modules are integers that remember where they are from. Where
one arrives at torch as a size, it is bound to the axis of that size, and surgery sets it to what is left of the axis.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from secateur.graph import axes
from secateur.graph.axes import Axis
from secateur.graph.code import is_own
from secateur.graph.views import Axes

Source = tuple[str, str]
"""Path of a module, and the name of its attribute."""

SHAPED = frozenset({"view", "reshape", "expand", "unflatten"})
MADE = frozenset({"zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty"})


class Number(int):
    """An attribute's value, or a product of several."""

    sources: tuple[Source, ...]

    def __new__(cls, value: int, sources: tuple[Source, ...]) -> "Number":
        """A number that remembers its sources."""
        number = super().__new__(cls, value)
        number.sources = sources
        return number

    def __mul__(self, other: Any) -> Any:
        """A product of two attributes remembers both; any other arithmetic gives a plain number."""
        product = int(self) * other
        return Number(product, self.sources + other.sources) if isinstance(other, Number) else product


@contextmanager
def remembered(modules: Iterable[tuple[str, nn.Module]]) -> Iterator[bool]:
    """Integer attributes of the policy's own modules remember their sources inside the block; whether there are any."""
    found = [
        (inner, name, value, path)
        for path, inner in modules
        if is_own(inner)
        for name, value in vars(inner).items()
        if type(value) is int and value > 1
    ]
    for inner, name, value, path in found:
        vars(inner)[name] = Number(value, ((path, name),))
    try:
        yield bool(found)
    finally:
        for inner, name, value, _ in found:
            vars(inner)[name] = value


class BindAttributes(TorchFunctionMode):
    """Watches torch's functions as code calls them, and binds attributes to the axes whose sizes they give.

    Args:
        known: tensor → its axes, None for one that the trace has not seen.
        counts: source → the axis it is bound to; filled here.
    """

    def __init__(self, known: Callable[[torch.Tensor], Axes | None], counts: dict[Source, Axis]) -> None:
        super().__init__()
        self.known, self.counts = known, counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls the function, then looks at the sizes it was given."""
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in SHAPED and isinstance(out, torch.Tensor):
            start = args[1] % args[0].dim() if name == "unflatten" else 0
            sizes = _sizes(args[2:] if name == "unflatten" else args[1:])
            self._bind_all(out, start, sizes)
        elif name in MADE and isinstance(out, torch.Tensor):
            self._bind_all(out, 0, _sizes(args[1:] if name.startswith("new_") else args))
        elif name == "split":
            self._bind_pieces(out, args, kwargs or {})
        elif name == "__getitem__":
            self._bind_slices(args[0], args[1])
        return out

    def _bind_all(self, out: torch.Tensor, start: int, sizes: list[Any]) -> None:
        its_axes = self.known(out)
        if its_axes is not None:
            for n, axis in zip(sizes, its_axes[start:]):
                self._bind(n, axis)

    def _bind_pieces(self, out: Any, args: Any, kwargs: Any) -> None:
        at = args[2] if len(args) > 2 else kwargs.get("dim", 0)
        sizes = args[1] if isinstance(args[1], (list, tuple)) else [args[1]] * len(out)
        for n, piece in zip(sizes, out):
            its_axes = self.known(piece)
            if its_axes is not None:
                self._bind(n, its_axes[at])

    def _bind_slices(self, tensor: torch.Tensor, index: Any) -> None:
        its_axes = self.known(tensor)
        parts = index if isinstance(index, tuple) else (index,)
        if its_axes is None or not all(isinstance(p, (int, slice, type(...))) for p in parts):
            return
        if ... in parts:
            at = parts.index(...)
            missing = len(its_axes) - (len(parts) - 1)
            parts = parts[:at] + (slice(None),) * missing + parts[at + 1 :]
        for part, axis in zip(parts, its_axes):
            for end in (part.start, part.stop) if isinstance(part, slice) else ():
                if isinstance(end, Number):
                    self._bind(end, _first(axis, end))

    def _bind(self, n: Any, axis: Axis | None) -> None:
        if not isinstance(n, Number) or axis is None or axes.size(axis) != n:
            return
        own = [self.counts.get(source) for source in n.sources]
        if len(own) == 1:
            self.counts.setdefault(n.sources[0], axis)
            axes.unify(self.counts[n.sources[0]], axis)
        elif all(own):
            axes.unify(axes.product([one for one in own if one]), axis)


def _sizes(args: Any) -> list[Any]:
    """The sizes among positional arguments: one sequence, or the numbers themselves."""
    return list(args[0]) if args and isinstance(args[0], (list, tuple)) else list(args)


def _first(axis: Axis, n: int) -> Axis | None:
    """The leading segments of an axis that make ``n`` channels; None where it is not divided there."""
    taken: list[axes.Segment] = []
    for segment in axes.normal(axis):
        if n <= 0:
            break
        taken.append(segment)
        n -= axes.segment_size(segment)
    return tuple(taken) if n == 0 else None
