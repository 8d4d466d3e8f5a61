"""How much each entry of a latent model matters to the plans that are made with it."""

from dataclasses import replace

import torch

from secateur.policy.planning import PLAN, Planning
from secateur.policy.policy import Policy, Tensors
from secateur.prune.lessons import deviation
from secateur.simulate.planner import EntryModel, Planner

STATES = 128
SIZE = 0.1
"""Of the noise, in units of an output's spread."""
LEAST = 0.05
"""What an entry counts for at least, beside the one that matters most."""


def planned(policy: Policy, visited: Tensors, seed: int) -> Policy:
    """The policy with its planner in charge of the robot, and its entries weighted by what plans are sensitive to.

    Every entry's output in turn gets noise of a tenth of its spread; its weight is the mean square of what that
    does to the planned action, relative to the entry that does most. An error in an entry then costs recovery what it
    costs the plan.

    Args:
        policy: that declares planning.
        visited: the encoder's inputs at states on the way, name → ``[states, ...]``.
        seed: of noise and plans.

    Raises:
        ValueError: the policy declares no planning.
    """
    if policy.planning is None:
        raise ValueError(f"{policy.name} declares no planning")
    rows = torch.randperm(len(next(iter(visited.values()))), generator=torch.Generator().manual_seed(seed))[
        :STATES
    ]
    some = {name: array[rows] for name, array in visited.items()}
    moved = {name: _moved(policy, policy.planning, name, some, seed) for name in policy.planning.entries}
    most = max(moved.values())
    weights = {name: max(LEAST, change / most) if most > 0 else 1.0 for name, change in moved.items()}
    return replace(policy, deployed=PLAN, entry_weights=weights)


def _moved(policy: Policy, planning: Planning, entry: str, states: Tensors, seed: int) -> float:
    """Mean square by which planned actions change when an entry's outputs are noisy."""
    calm = Planner(EntryModel(policy, planning), planning.settings, seed)
    noisy = Planner(_Noisy(policy, planning, entry, seed), planning.settings, seed)
    return float((noisy.plan(states) - calm.plan(states)).square().mean())


class _Noisy(EntryModel):
    """A latent model in which one entry errs."""

    def __init__(self, policy: Policy, planning: Planning, entry: str, seed: int) -> None:
        super().__init__(policy, planning)
        self.entry = entry
        self.generator = torch.Generator().manual_seed(seed)

    def _run(self, name: str, inputs: Tensors) -> dict[str, torch.Tensor]:
        outputs = super()._run(name, inputs)
        if name != self.entry:
            return outputs
        return {
            key: value + SIZE * deviation(value) * torch.randn(value.shape, generator=self.generator)
            for key, value in outputs.items()
        }
