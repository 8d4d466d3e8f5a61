"""The algebra of axes: which channels of which tensors are the same channel.

Every axis of every tensor is written as a *concatenation* of *products* of dims. A dim is a set of channels that
are kept or dropped together everywhere it appears. Tracing a network unifies dims; what is left are its groups.

    linear weight [64, 32]            axes (a,) and (b,)        two dims of 64 and 32
    cat(latent 50, action 1)          ((latent,), (fixed 1,))   offsets fall out of the order
    flatten of [C, 8, 8]              ((c, fixed 64),)          dropping a channel drops 64 columns
    GRU gates [3·H, …] chunked by 3   ((h,), (h,), (h,))        the axis was split, and its parts unified
    view(batch, −1, 8) of a latent    ((outer, inner 8),)       the latent goes in eights from then on

Unification refines: where an axis of 192 meets three axes of 64 it is split, where 50·8 meets (50, 8) it is
factored. What cannot be refined is fixed, that is, left whole, with the reason kept. Each step is near constant
time (union–find with path halving), so tracing costs about linearly in the size of the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod


class Dim:
    """A union–find node: a number of channels that live and die together wherever they appear."""

    __slots__ = ("fixed", "parent", "parts", "size", "why")

    def __init__(self, size: int, fixed: bool = False, why: str = "") -> None:
        self.size = size
        self.fixed = fixed
        self.why = why
        self.parent: Dim | None = None
        self.parts: Axis | None = None

    def root(self) -> Dim:
        """The representative of this dim's class."""
        node = self
        while node.parent is not None:
            if node.parent.parent is not None:
                node.parent = node.parent.parent
            node = node.parent
        return node


Segment = tuple[Dim, ...]
"""A product of dims, outermost first."""

Axis = tuple[Segment, ...]
"""A concatenation of segments."""


def free(size: int) -> Axis:
    """An axis of unknown use; fixed where there is nothing to prune."""
    return ((Dim(size, fixed=size <= 1),),)


def fixed(size: int, why: str) -> Axis:
    """An axis that stays whole."""
    return ((Dim(size, fixed=True, why=why),),)


def segment_size(segment: Segment) -> int:
    """Channels in a segment."""
    if len(segment) == 1:
        return segment[0].size
    return prod(dim.size for dim in segment)


def size(axis: Axis) -> int:
    """Channels along an axis."""
    return sum(segment_size(segment) for segment in axis)


def normal(axis: Axis) -> Axis:
    """The axis over representatives, with every refinement written out."""
    if len(axis) == 1 and len(axis[0]) == 1:  # as most are
        dim = axis[0][0].root()
        return ((dim,),) if dim.parts is None else normal(dim.parts)
    out: list[Segment] = []
    for segment in axis:
        out.extend(_normal_segment(segment))
    return tuple(out)


def _normal_segment(segment: Segment) -> Axis:
    done: Axis = ((),)
    for dim in reversed([dim.root() for dim in segment]):
        expanded = normal(dim.parts) if dim.parts is not None else ((dim,),)
        done = _times(expanded, done)
    return done


def _times(outer: Axis, inner: Axis) -> Axis:
    """Outer × inner, both normal. An inner concatenation repeats once per outer channel, which must then stay."""
    if inner == ((),):
        return outer
    if len(inner) == 1:
        return tuple(_trim(segment + inner[0]) for segment in outer)
    if size(outer) > 1:
        fix(outer, "it lies around a concatenation")
    return inner * size(outer)


def _trim(segment: Segment) -> Segment:
    kept = tuple(dim for dim in segment if dim.size > 1)
    return kept or segment[:1]


def product(axes: Iterable[Axis]) -> Axis:
    """The axis that a view makes of several neighbouring ones, outermost first."""
    done: Axis = ((),)
    for axis in reversed([normal(axis) for axis in axes]):
        done = _times(axis, done)
    return done if done != ((),) else fixed(1, "")


def is_whole(axis: Axis) -> bool:
    """True for a single dim that is fixed, as axes of places and batches are."""
    return len(axis) == 1 and len(axis[0]) == 1 and axis[0][0].fixed


def fix(axis: Axis, why: str) -> None:
    """Leaves every channel of the axis where it is, for the reason given."""
    if is_whole(axis):
        return
    for segment in normal(axis):
        for dim in segment:
            if not dim.fixed:
                dim.fixed, dim.why = True, why


def is_fixed(segment: Segment) -> bool:
    """True where no dim of the segment can be pruned."""
    return all(dim.fixed for dim in segment)


def unify(left: Axis, right: Axis) -> None:
    """States that two axes of equal size hold the same channels in the same order."""
    if left is right:
        return
    if len(left) == len(right) == 1 and len(left[0]) == len(right[0]) == 1:  # as most are
        if left[0][0].fixed and right[0][0].fixed:
            return
        first, second = left[0][0].root(), right[0][0].root()
        if first.parts is None and second.parts is None:
            _union(first, second)
            return
    left, right = normal(left), normal(right)
    if left == right:
        return
    one, two = list(reversed(left)), list(reversed(right))
    while one and two:
        a, b = one.pop(), two.pop()
        if segment_size(a) == segment_size(b):
            _unify_segments(a, b)
        elif segment_size(a) > segment_size(b):
            head, tail = _split(a, segment_size(b))
            two.append(b)
            one.extend([tail, head])
            one, two = _renormal(one), _renormal(two)
        else:
            head, tail = _split(b, segment_size(a))
            one.append(a)
            two.extend([tail, head])
            one, two = _renormal(one), _renormal(two)


def _renormal(stack: list[Segment]) -> list[Segment]:
    """After a split, the same dims may stand further down the stack."""
    return [part for segment in stack for part in reversed(_normal_segment(segment))]


def _split(segment: Segment, at: int) -> tuple[Segment, Segment]:
    """Two segments of ``at`` and the remaining channels; refines the outermost dim, or fixes all."""
    total = segment_size(segment)
    outer, inner = segment[0], segment[1:]
    below = segment_size(inner)
    if at % below == 0 and not outer.fixed:
        head, tail = Dim(at // below), Dim(outer.size - at // below)
        for dim in (head, tail):
            dim.fixed = dim.size <= 1
        outer.parts = ((head,), (tail,))
        return _trim((head, *inner)), _trim((tail, *inner))
    if at % below == 0:
        return _trim((Dim(at // below, True, outer.why), *inner)), _trim(
            (Dim(outer.size - at // below, True, outer.why), *inner)
        )
    fix((segment,), "it is cut at a place that is not a whole number of its channels")
    return (Dim(at, True, outer.why),), (Dim(total - at, True, outer.why),)


def _unify_segments(a: Segment, b: Segment) -> None:
    while a and b:
        if len(a) == 1 and len(b) == 1:
            _union(a[0].root(), b[0].root())
            return
        if is_fixed(a) or is_fixed(b):
            why = next(dim.why for dim in (a if is_fixed(a) else b))
            fix((a, b), why)
            return
        x, y = a[-1], b[-1]
        if x.size == y.size:
            _union(x.root(), y.root())
            a, b = a[:-1], b[:-1]
        elif x.size % y.size == 0:
            a = (*a[:-1], *_factor(x, y.size))
        elif y.size % x.size == 0:
            b = (*b[:-1], *_factor(y, x.size))
        else:
            fix((a, b), "two views of it factor differently")
            return


def _factor(dim: Dim, inner: int) -> Segment:
    """A dim as the product of an outer and an inner one."""
    parts = (Dim(dim.size // inner, dim.fixed, dim.why), Dim(inner, dim.fixed, dim.why))
    if not dim.fixed:
        dim.parts = (parts,)
    return parts


def _union(a: Dim, b: Dim) -> None:
    if a is b:
        return
    if a.parts is not None and b.parts is not None:
        unify(a.parts, b.parts)
    if a.fixed != b.fixed:
        why = a.why if a.fixed else b.why
        fix((((a,), (b,))), why)
    if a.parts is None:
        a.parent = b
    else:
        b.parent = a
