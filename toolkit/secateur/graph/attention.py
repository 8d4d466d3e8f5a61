"""torch's multi-head attention, with widths of its own.

``nn.MultiheadAttention`` checks its inputs against the ``embed_dim`` it was made with, and takes heads × head width to
be that number. A pruned one keeps fewer channels of the stream it reads, fewer heads and narrower ones, each
independently, so it runs by the code below instead: the same parameters under the same names, the same result.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

from secateur.graph import axes
from secateur.graph.axes import Axis

WHY_WHOLE = "its nn.MultiheadAttention has extra keys, or is a subclass, which cannot be narrowed"


class WidthFreeAttention(nn.MultiheadAttention):
    """What an ``nn.MultiheadAttention`` becomes (its class is changed) so that its weights may have any widths.

    Queries and keys have ``num_heads`` heads of one width, values as many of another. Products are scaled by the
    head width from before pruning, so that a channel less is the same as that channel at zero.
    """

    @property
    def _qkv_same_embed_dim(self) -> bool:  # type: ignore[override]
        """False, which keeps torch off its fused kernels: they know one width only."""
        return False

    def forward(  # type: ignore[override]
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As ``nn.MultiheadAttention.forward``: ``[batch, length, width]``, or without batch, or length first."""
        if is_causal and attn_mask is None:
            raise RuntimeError("is_causal is a hint about attn_mask, which is missing")
        single, first = query.dim() == 2, not self.batch_first
        if single:
            query, key, value = (t[None] for t in (query, key, value))
        elif first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        q, k, v = (self._heads(t, *p) for t, p in zip((query, key, value), self._projections()))
        scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
        if attn_mask is not None:
            scores = scores + _bias(attn_mask, scores).view(-1, *_lead(attn_mask, q), *attn_mask.shape[-2:])
        if key_padding_mask is not None:
            scores = scores + _bias(key_padding_mask, scores).view(-1, 1, 1, key_padding_mask.shape[-1])
        weights = functional.dropout(torch.softmax(scores, -1), self.dropout, self.training)
        mixed = (weights @ v).transpose(1, 2).flatten(2)
        out = functional.linear(mixed, self.out_proj.weight, self.out_proj.bias)
        shown = (weights.mean(1) if average_attn_weights else weights) if need_weights else None
        if single:
            return out[0], None if shown is None else shown[0]
        return out.transpose(0, 1) if first else out, shown

    def _projections(self) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Weight and bias of query, key and value."""
        if self.in_proj_weight is None:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
            sizes = [len(weight) for weight in weights]
        else:
            last = self.out_proj.weight.shape[1]
            each = (len(self.in_proj_weight) - last) // 2
            sizes = [each, each, last]
            weights = list(self.in_proj_weight.split(sizes))
        biases = [None] * 3 if self.in_proj_bias is None else list(self.in_proj_bias.split(sizes))
        return list(zip(weights, biases))

    def _heads(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """``[batch, length, width]`` → ``[batch, heads, length, head width]``."""
        return functional.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _bias(mask: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """A mask as numbers to add: a true means: not this one."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, float("-inf"))


def _lead(mask: torch.Tensor, q: torch.Tensor) -> tuple[int, ...]:
    """A mask of three dimensions has a row for each head of each sample."""
    return (q.shape[1],) if mask.dim() == 3 else (1,)


def can_be_narrowed(inner: nn.Module) -> bool:
    """Whether attention can become width-free: torch's own class, without keys and values that it adds."""
    own = type(inner) in (nn.MultiheadAttention, WidthFreeAttention)
    return own and inner.bias_k is None and not inner.add_zero_attn


def free_widths(modules: Iterable[nn.Module]) -> list[nn.MultiheadAttention]:
    """Makes every attention among ``modules`` width-free, in place; gives those that were not before."""
    changed = [m for m in modules if type(m) is nn.MultiheadAttention and can_be_narrowed(m)]
    for inner in changed:
        inner.__class__ = WidthFreeAttention
    return changed


@contextmanager
def free_for_now(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Width-free inside the block, as it was afterwards."""
    changed = free_widths(modules)
    try:
        yield
    finally:
        for inner in changed:
            inner.__class__ = nn.MultiheadAttention


def declare_heads(inner: nn.MultiheadAttention, weights: dict[str, tuple[Axis, ...]]) -> Axis:
    """States what an attention's packed rows are: heads × width, for query, key and value.

    Args:
        inner: the attention.
        weights: name of a parameter → its axes.

    Returns:
        The axis that counts the heads.
    """
    last = axes.size(weights["out_proj.weight"][1])
    packed_rows = axes.size(weights["in_proj_weight"][0]) if "in_proj_weight" in weights else 0
    first = (packed_rows - last) // 2 if packed_rows else axes.size(weights["q_proj_weight"][0])
    heads = axes.free(inner.num_heads)
    keys, values = (axes.product([heads, axes.free(n // inner.num_heads)]) for n in (first, last))
    packed = keys + keys + values
    for name, axis in (
        ("in_proj_weight", packed),
        ("in_proj_bias", packed),
        ("q_proj_weight", keys),
        ("k_proj_weight", keys),
        ("v_proj_weight", values),
    ):
        if name in weights:
            axes.unify(weights[name][0], axis)
    axes.unify(weights["out_proj.weight"][1], values)
    return heads
