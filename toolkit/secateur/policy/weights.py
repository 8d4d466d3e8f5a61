"""Weights in and out, as safetensors only: no code can hide in them, and a short file is noticed."""

from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from secateur.errors import SecateurError

MAX_HEADER_BYTES = 1 << 24
"""Of names, shapes and what else a file tells of its weights."""


def save_all_buffers(module: nn.Module) -> None:
    """Makes every buffer part of what is saved and loaded: of one that was changed no code makes the same again."""
    for inner in module.modules():
        inner._non_persistent_buffers_set.clear()


def load_weights(module: nn.Module, path: Path) -> None:
    """Reads ``path`` into ``module``, in place.

    Raises:
        SecateurError: not safetensors, truncated, a name missing or unknown, or a shape that differs.
    """
    if path.suffix != ".safetensors":
        raise SecateurError(
            "weights are read from .safetensors, because a pickle can run code",
            f"got {path.name}",
            "Convert it with safetensors.torch.save_file where you trust its source.",
        )
    if not path.is_file():
        raise SecateurError(
            "weights must exist", f"there is no file {path}", "Train the policy or correct the path."
        )
    own = module.state_dict()
    most = 2 * sum(tensor.numel() * tensor.element_size() for tensor in own.values()) + MAX_HEADER_BYTES
    if path.stat().st_size > most:
        raise SecateurError(
            "weights are about as large as their module",
            f"{path} has {path.stat().st_size:,} bytes, of at most {most:,}",
            "Use weights of this architecture.",
        )
    try:
        state = load_file(path)
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise SecateurError(
            "weights must be a whole safetensors file", f"{path}: {error}", "Copy or train it again."
        ) from error
    if missing := sorted(own.keys() - state.keys()):
        raise SecateurError(
            "weights name every tensor of the module",
            f"{path.name} lacks {missing[0]}",
            "Use weights of this architecture.",
        )
    if unknown := sorted(state.keys() - own.keys()):
        raise SecateurError(
            "weights name no other tensor",
            f"{path.name} has {unknown[0]}",
            "Use weights of this architecture.",
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise SecateurError(
                "weights have the module's shapes",
                f"{path.name}: {name} is {list(tensor.shape)}, the module's is {list(own[name].shape)}",
                "Use weights of this architecture.",
            )
    with torch.no_grad():
        module.load_state_dict(state)
