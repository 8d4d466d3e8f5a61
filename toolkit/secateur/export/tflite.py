"""torch → float .tflite, by litert-torch."""

import os
import tempfile
from pathlib import Path

import torch
from torch import nn

from secateur.errors import SecateurError
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
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    import litert_torch

    chosen = policy.entry(entry)
    module = _EntryModule(policy.module, chosen).eval()
    examples = {name: example.contiguous() for name, example in chosen.example_inputs.items()}
    try:
        model = litert_torch.convert(module, sample_kwargs=examples)
    except Exception as error:
        raise SecateurError(
            "the deployed entry converts to .tflite",
            f"{policy.name}.{chosen.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "Write it with operators that litert-torch knows.",
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        model.export(str(path))
        return path.read_bytes()
