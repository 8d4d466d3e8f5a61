"""Whether a policy's own code can tell how wide a tensor is.

Most code cannot: it hands tensors from one module to the next, adds, concatenates and squashes them. Whatever the
widths, it does the same. Code that asks for a shape, or gives torch a size, a position or a number of pieces, may have
a width written into it, and only a trial tells. So the functions of torch that it calls are watched while it is
traced, and held against those that take and give no size. Modules of the library are left out where surgery keeps all
of their sizes up to date.
"""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules import activation, dropout, pooling
from torch.overrides import TorchFunctionMode

from secateur.graph.attention import WidthFreeAttention

SIZELESS = frozenset(
    {
        *(
            "abs",
            "add",
            "clamp",
            "clip",
            "cos",
            "div",
            "exp",
            "log",
            "log1p",
            "maximum",
            "minimum",
            "mul",
            "neg",
        ),
        *("pow", "reciprocal", "rsqrt", "rsub", "sin", "sqrt", "square", "sub", "true_divide"),
        *(
            "celu",
            "elu",
            "gelu",
            "hardsigmoid",
            "hardswish",
            "hardtanh",
            "leaky_relu",
            "mish",
            "relu",
            "relu6",
        ),
        *("relu_", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh"),
        *("amax", "amin", "cat", "concat", "flatten", "linear", "matmul", "mean", "sum", "t", "transpose"),
        *("clone", "contiguous", "detach", "dim", "dropout", "float", "_set_grad_enabled"),
    }
)
"""Functions and methods of torch, by name, that take no size and give none."""

KNOWN = frozenset(
    {
        *(nn.Linear, nn.Identity, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm),
        *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, WidthFreeAttention),
        *(getattr(activation, name) for name in activation.__all__ if name != "MultiheadAttention"),
        *(getattr(part, name) for part in (dropout, pooling) for name in part.__all__),
    }
)
"""Modules whose code has no width but in their weights, and in attributes that surgery makes agree with those."""


def is_own(module: nn.Module) -> bool:
    """Whether a module is of the policy's own code, not of torch's library."""
    return not type(module).__module__.startswith("torch.")


class OwnCode(TorchFunctionMode):
    """Watches what a policy's own code calls.

    Args:
        at_work: the modules that are running, the innermost last.

    Attributes:
        sized: the first function of torch met that takes or gives a size; empty where there was none.
    """

    def __init__(self, at_work: list[nn.Module]) -> None:
        super().__init__()
        self.at_work, self.sized = at_work, ""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Calls the function; its name is looked at first."""
        if func.__name__ not in SIZELESS and not (self.at_work and type(self.at_work[-1]) in KNOWN):
            self.sized = self.sized or func.__name__
        return func(*args, **kwargs) if kwargs else func(*args)
