"""A planner as one .tflite: a signature for every call that a decision makes, with as many rows as it makes it with."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from secateur.export.quantize import convert
from secateur.export.tflite import to_signatures
from secateur.policy.planning import Planning
from secateur.policy.policy import Policy, Tensors
from secateur.simulate.planner import EntryModel, Planner

Calls = dict[str, dict[str, np.ndarray]]
"""Signature → input name → float32 ``[n, ...]``, n a multiple of a call's rows."""


def signature_name(entry: str, rows: int) -> str:
    """What the signature is called that takes so many rows."""
    return f"{entry}_{rows}"


def planning_of(policy: Policy) -> Planning:
    """The planning that a policy declares.

    Raises:
        ValueError: it declares none.
    """
    if policy.planning is None:
        raise ValueError(f"{policy.name} declares no planning")
    return policy.planning


def batched(policy: Policy) -> Policy:
    """The policy with an entry for each signature of its planner, in place of its own entries."""
    entries = []
    for call in planning_of(policy).calls():
        entry = policy.entry(call.entry)
        examples = {
            name: example[:1].expand(call.rows, *example.shape[1:]).contiguous()
            for name, example in entry.example_inputs.items()
        }
        name = signature_name(call.entry, call.rows)
        entries.append(replace(entry, name=name, example_inputs=examples, feeds={}))
    return replace(policy, entries=tuple(entries), deployed=entries[0].name, planning=None, entry_weights={})


def planner_tflite(policy: Policy) -> bytes:
    """The float32 .tflite of the policy's planner, at its settings.

    Raises:
        SecateurError: an entry that cannot be converted.
    """
    ready = batched(policy)
    return to_signatures(ready, [entry.name for entry in ready.entries])


def planner_calls(policy: Policy, states: Tensors, seed: int) -> Calls:
    """What the planner's signatures are called with while it plans at some states, one after the other.

    Args:
        policy: that declares planning.
        states: inputs of ``encode``, name → ``[n, ...]``.
        seed: of the plans.
    """
    planning = planning_of(policy)
    model = _Recording(policy, planning)
    planner = Planner(model, planning.settings, seed)
    for row in range(len(next(iter(states.values())))):
        planner.plan({name: array[row : row + 1] for name, array in states.items()})
    return {
        signature: {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}
        for signature, calls in model.made.items()
    }


class _Recording(EntryModel):
    """A latent model that remembers what it was called with, by signature."""

    def __init__(self, policy: Policy, planning: Planning) -> None:
        super().__init__(policy, planning)
        self.made: dict[str, list[dict[str, np.ndarray]]] = {}

    def _run(self, name: str, inputs: Tensors) -> dict[str, torch.Tensor]:
        rows = len(next(iter(inputs.values())))
        arrays = {key: tensor.numpy().copy() for key, tensor in inputs.items()}
        self.made.setdefault(signature_name(name, rows), []).append(arrays)
        return super()._run(name, inputs)


def planner_answers(policy: Policy, calls: Calls) -> dict[str, dict[str, np.ndarray]]:
    """Torch's outputs for recorded calls, by signature and by the outputs' names in the .tflite."""
    answers = {}
    with torch.no_grad():
        for entry in batched(policy).entries:
            inputs = {name: torch.from_numpy(array) for name, array in calls[entry.name].items()}
            answers[entry.name] = {
                name: tensor.numpy() for name, tensor in entry.run(policy.module.eval(), inputs).items()
            }
    return answers


def quantised_planner(
    policy: Policy, model: bytes, dtype: str, calls: Mapping[str, Mapping[str, np.ndarray]]
) -> bytes:
    """The planner's file in another dtype, the latent that is fed back in one range.

    Args:
        policy: that it is the planner of.
        model: from ``planner_tflite``.
        dtype: key of ``quantize.RECIPES``.
        calls: from ``planner_calls``, to calibrate on.
    """
    planning = planning_of(policy)
    ties = [
        (name, name, planning.latent)
        for name in {signature_name(c.entry, c.rows) for c in planning.calls() if c.entry == planning.next}
    ]
    return convert(model, dtype, calls, ties)
