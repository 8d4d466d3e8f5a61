"""What each ATen operator does to axes: one small function per family, in one table.

A rule is given the axes of the tensor arguments and gives the axes of the result, unifying or fixing on the way.
Element-wise operators need no entry (torch tags them as pointwise). An operator in neither is unknown: all its
arguments and results are left whole, and the reason names it.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any

import torch

from secateur.graph import axes, views
from secateur.graph.axes import Axis
from secateur.graph.views import Axes, Look

Rule = Callable[[Look, Sequence[Any], dict[str, Any], Any], Any]
"""(axes of, arguments, keyword arguments, result) → axes of the result, in the result's own structure."""


def pointwise(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Aligned axes of equal size are one axis; an axis of one broadcasts."""
    shape = out.shape
    given = tensors(args)
    if len(given) == 1 and given[0].shape == shape:
        return look(given[0])
    result: list[Axis | None] = [None] * len(shape)
    for tensor in given:
        at = len(shape) - tensor.dim() - 1
        for axis, n in zip(look(tensor), tensor.shape):
            at += 1
            if n != shape[at]:
                continue
            seen = result[at]
            if seen is None:
                result[at] = axis
            else:
                axes.unify(seen, axis)
    return tuple(axis if axis is not None else axes.free(n) for axis, n in zip(result, out.shape))


def matmul(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """``mm``, ``bmm``, ``mv``: the last axis of one is contracted with the first matrix axis of the other."""
    a, b = look(args[0]), look(args[1])
    axes.unify(a[-1], b[-2] if len(b) > 1 else b[-1])
    for one, two in zip(a[:-2], b[:-2]):
        axes.unify(one, two)
    return (*a[:-1], *b[len(b) - 1 :]) if len(b) > 1 else a[:-1]


def addmm(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A product plus a bias along its last axes."""
    result = matmul(look, args[1:3], kwargs, out)
    bias = look(args[0])
    for axis, n, into in zip(reversed(bias), reversed(args[0].shape), reversed(result)):
        if n == axes.size(into):
            axes.unify(axis, into)
    return result


def convolution(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Weights are [out, in / groups, ...], or [in, out / groups, ...] where transposed."""
    x, w = look(args[0]), look(args[1])
    bias, transposed, groups = args[2], args[6], args[8]
    batch, channels = (x[0], x[1]) if len(x) == len(w) else (axes.fixed(1, ""), x[0])
    first, second = w[0], w[1]
    if groups == 1:
        produced = second if transposed else first
        axes.unify(channels, first if transposed else second)
    else:
        count = look.count("groups", groups, "it counts the groups of a convolution")
        axes.unify(first, axes.product([count, axes.free(args[1].shape[0] // groups)]))
        grouped = axes.product([count, second])
        produced = grouped if transposed else first
        axes.unify(channels, first if transposed else grouped)
    if bias is not None:
        axes.unify(look(bias)[0], produced)
    spatial = tuple(axes.fixed(n, "it is a place, not a channel") for n in out.shape[2:])
    for axis in (*x[2:], *w[2:]):
        axes.fix(axis, "it is a place, not a channel")
    return (batch, produced, *spatial)


def batch_norm(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    """Weight, bias and statistics run along the channels."""
    given = look(args[0])
    for tensor in args[1:5]:
        if tensor is not None:
            axes.unify(look(tensor)[0], given[1])
    return _first(given, out)


def layer_norm(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    """Weight and bias run along the last axes."""
    given = look(args[0])
    for tensor in args[2:4]:
        if tensor is not None:
            for axis, into in zip(look(tensor), given[len(given) - len(args[1]) :]):
                axes.unify(axis, into)
    return _first(given, out)


def group_norm(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    """Channels are groups × the channels of each, and as many stay in each."""
    given, groups = look(args[0]), args[6]
    count = axes.fixed(1, "")
    if groups > 1:
        count = look.count("num_groups", groups, "it counts the groups of a normalisation")
        axes.unify(given[1], axes.product([count, axes.free(args[0].shape[1] // groups)]))
    for tensor in args[1:3]:
        if tensor is not None:
            axes.unify(look(tensor)[0], given[1])
    return [given, *[(given[0], count)] * 2]


def _first(given: Axes, out: Any) -> list[Axes]:
    """Normalisations give statistics beside the result; nobody uses those."""
    return [given, *(tuple(axes.free(n) for n in part.shape) for part in out[1:])]


def reduce(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    """Sum, mean, variance over some axes, of whatever is left there; the rest stay."""
    given = look(args[0])
    gone = _reduced(args, kwargs, len(given))
    kept = [axis for d, axis in enumerate(given) if d not in gone]
    first = out if isinstance(out, torch.Tensor) else out[0]
    if first.dim() == len(given):
        result = tuple(axes.fixed(1, "") if d in gone else axis for d, axis in enumerate(given))
    else:
        result = tuple(kept)
    return result if isinstance(out, torch.Tensor) else [result] * len(out)


def extreme(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    """Maximum, minimum, product: zero counts among them as any number does, so what they run over stays whole."""
    given = look(args[0])
    for d in _reduced(args, kwargs, len(given)):
        axes.fix(given[d], "a maximum, minimum or product runs over it")
    return reduce(look, args, kwargs, out)


def _reduced(args: Sequence[Any], kwargs: dict[str, Any], count: int) -> set[int]:
    """Which of ``count`` axes a reduction runs over."""
    dims = args[1] if len(args) > 1 and not isinstance(args[1], bool) else kwargs.get("dim")
    dims = range(count) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    return {d % count for d in dims} if count else set()


def vector_norm(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A reduction whose second argument is the order of the norm."""
    return reduce(look, (args[0], *args[2:]), kwargs, out)


def softmax(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """What it runs over stays whole."""
    given = look(args[0])
    axes.fix(given[args[1]], "a softmax runs over it")
    return given


def pool(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any, spatial: int) -> Any:
    """Pooling and resampling keep channels, and the batch where there is one, and make new places."""
    given = look(args[0])
    first = out if isinstance(out, torch.Tensor) else out[0]
    lead = first.dim() - spatial
    places = tuple(axes.fixed(n, "it is a place, not a channel") for n in first.shape[lead:])
    for axis in given[lead:]:
        axes.fix(axis, "it is a place, not a channel")
    result = (*given[:lead], *places)
    return result if isinstance(out, torch.Tensor) else [result] * len(out)


def embedding(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """Rows of the table by number; its columns are the channels."""
    table = look(args[0])
    axes.fix(table[0], "it counts the entries of an embedding")
    return (*look(args[1]), table[1])


def attention(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    """Scaled dot product of q, k, v, each [batch, heads, length, width]; several heads may share keys and values."""
    q, k, v = (look(t) for t in args[:3])
    axes.unify(q[0], k[0])
    shared = args[0].shape[1] // args[1].shape[1]
    axes.unify(q[1], axes.product([k[1], axes.fixed(shared, "it counts the heads that share a key")]))
    for one, two in ((k[0], v[0]), (k[1], v[1]), (q[3], k[3]), (k[2], v[2])):
        axes.unify(one, two)
    scores = (*q[:3], k[2])
    mask = args[3] if len(args) > 3 and isinstance(args[3], torch.Tensor) else kwargs.get("attn_mask")
    if mask is not None:
        for axis, n, into in zip(reversed(look(mask)), reversed(mask.shape), reversed(scores)):
            if n == axes.size(into):
                axes.unify(axis, into)
    result = (*q[:3], v[3])
    if isinstance(out, torch.Tensor):
        return result
    return [result, *(scores[: t.dim()] for t in out[1:] if isinstance(t, torch.Tensor))]


def glu(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """One half of an axis gates the other."""
    given = list(look(args[0]))
    at = (args[1] if len(args) > 1 else kwargs.get("dim", -1)) % len(given)
    half = axes.free(out.shape[at])
    axes.unify(given[at], half + half)
    return (*given[:at], half, *given[at + 1 :])


def weight_norm(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> list[Axes]:
    """A direction and, along one axis, its magnitudes."""
    direction, magnitude = look(args[0]), look(args[1])
    for one, two, n in zip(direction, magnitude, args[1].shape):
        if n > 1:
            axes.unify(one, two)
    return [direction, magnitude]


def uniform(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A tensor of equal numbers made in the code: as wide as what it meets, if the code asks for that width."""
    return tuple(axes.free(n) for n in out.shape)


def shaped_like(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A tensor of numbers made in the code, as wide as another."""
    return look(args[0])


def numbered(look: Look, args: Sequence[Any], kwargs: dict[str, Any], out: torch.Tensor) -> Axes:
    """A tensor of different numbers made in the code, which belong to their places."""
    return tuple(
        axes.fixed(n, "it meets numbers that the code makes for each of its channels") for n in out.shape
    )


def unknown(name: str, look: Look, args: Sequence[Any], out: Any) -> None:
    """Leaves everything that an operator without a rule touches as it is."""
    for tensor in tensors(args):
        for axis in look(tensor):
            axes.fix(axis, f"operator {name} has no rule")


def tensors(args: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors among arguments and in the lists among them, in order."""
    found: list[torch.Tensor] = []
    for a in args:
        if isinstance(a, torch.Tensor):
            found.append(a)
        elif isinstance(a, (list, tuple)) and a and not isinstance(a[0], int):
            found += tensors(a)
    return found


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("detach", "alias", "clone", "contiguous", "_to_copy", "lift_fresh", "dropout"), views.same
    ),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze"), views.view),
    **dict.fromkeys(("t", "transpose"), views.transpose),
    "permute": views.permute,
    "unsqueeze": views.unsqueeze,
    "expand": views.expand,
    "cat": views.concatenate,
    "stack": views.stack,
    **dict.fromkeys(("split", "unsafe_split", "split_with_sizes", "chunk", "unsafe_chunk"), views.split),
    "slice": views.narrow,
    "select": views.select,
    "unbind": views.unbind,
    **dict.fromkeys(("mm", "bmm", "mv", "matmul"), matmul),
    **dict.fromkeys(("addmm", "addmv", "baddbmm"), addmm),
    "convolution": convolution,
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_no_update"), batch_norm
    ),
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    **dict.fromkeys(("mean", "sum", "var", "std"), reduce),
    **dict.fromkeys(("amax", "amin", "max", "min", "prod"), extreme),
    "linalg_vector_norm": vector_norm,
    **dict.fromkeys(("_softmax", "_log_softmax"), softmax),
    **dict.fromkeys(
        (
            "max_pool2d_with_indices",
            "max_pool2d",
            "avg_pool2d",
            "_adaptive_avg_pool2d",
            "adaptive_max_pool2d",
            "upsample_nearest2d",
            "upsample_bilinear2d",
        ),
        partial(pool, spatial=2),
    ),
    **dict.fromkeys(("upsample_nearest1d", "upsample_linear1d", "avg_pool1d"), partial(pool, spatial=1)),
    "embedding": embedding,
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_attention_math",
            "scaled_dot_product_attention",
        ),
        attention,
    ),
    "constant_pad_nd": views.pad,
    "_prelu_kernel": pointwise,
    "glu": glu,
    "_weight_norm_interface": weight_norm,
    "repeat": views.repeat,
    **dict.fromkeys(("flip", "cumsum"), views.ordered),
    **dict.fromkeys(
        ("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty"), uniform
    ),
    **dict.fromkeys(("arange", "linspace", "rand", "randn", "eye"), numbered),
    **dict.fromkeys(
        ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like"), shaped_like
    ),
}


@cache
def rule_of(name: str, func: Any) -> Rule | None:
    """The rule of an operator; None where it is unknown."""
    return RULES.get(name) or (pointwise if torch.Tag.pointwise in func.tags else None)


FROM_NOTHING: tuple[Rule | None, ...] = (uniform, numbered, shaped_like)
"""Rules of operators whose results hold nothing of what their arguments hold."""
