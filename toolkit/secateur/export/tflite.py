"""torch → float .tflite, by litert-torch."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.export.channels_last import fold_flatten, is_image
from secateur.export.constants import fold_constants
from secateur.policy.policy import Entry, Policy


class _EntryModule(nn.Module):
    """One entry as a module of its own, with outputs as a dict so that they keep their names."""

    def __init__(self, module: nn.Module, entry: Entry) -> None:
        super().__init__()
        self.module = module
        self._entry = entry

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return self._entry.run(self.module, inputs)


def to_tflite(policy: Policy, entry: str | None = None) -> bytes:
    """The entry (the deployed one by default) as a float32 .tflite, inputs and outputs named as in the entry.

    Raises:
        SecateurError: litert-torch cannot convert it.
    """
    chosen = policy.entry(entry)
    module = _EntryModule(policy.module, chosen).eval()
    examples = {name: example.contiguous() for name, example in chosen.example_inputs.items()}
    return _converted(policy, [(None, module, examples)])


def image_inputs(entry: Entry) -> frozenset[str]:
    """Inputs that ``to_signatures`` takes with channels last."""
    return frozenset(name for name, example in entry.example_inputs.items() if is_image(tuple(example.shape)))


def to_signatures(policy: Policy, entries: Sequence[str]) -> bytes:
    """Entries as signatures of one float32 .tflite that share their weights; images with channels last.

    Raises:
        SecateurError: litert-torch cannot convert one of them.
    """
    parts = []
    for name in entries:
        entry = policy.entry(name)
        images = image_inputs(entry)
        module = _ChannelsLast(_EntryModule(policy.module, entry), images).eval()
        examples = {
            key: (example.movedim(1, -1) if key in images else example).contiguous()
            for key, example in entry.example_inputs.items()
        }
        parts.append((name, module, examples))
    return fold_flatten(_converted(policy, parts))


class _ChannelsLast(nn.Module):
    """An entry whose images come with channels last."""

    def __init__(self, entry: _EntryModule, images: frozenset[str]) -> None:
        super().__init__()
        self.entry = entry
        self._images = images

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.entry(**{n: x.movedim(-1, 1) if n in self._images else x for n, x in inputs.items()})


def _converted(
    policy: Policy, parts: Sequence[tuple[str | None, nn.Module, dict[str, torch.Tensor]]]
) -> bytes:
    """Signature name (None for the default one), module and example inputs of each part → .tflite."""
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    import litert_torch

    converter: Any = litert_torch
    try:
        if parts[0][0] is None:
            model = litert_torch.convert(parts[0][1], sample_kwargs=parts[0][2])
        else:
            for name, module, examples in parts:
                converter = converter.signature(name, module, sample_kwargs=examples)
            model = converter.convert()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        names = ", ".join(name for name, *_ in parts if name) or policy.deployed
        raise SecateurError(
            "the deployed entry converts to .tflite",
            f"{policy.name}.{names}: {reason}",
            "Write it with operators that litert-torch knows.",
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        model.export(str(path))
        return fold_constants(path.read_bytes())
