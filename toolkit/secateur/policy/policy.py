"""What is pruned: a module, the components it is made of, the entries it is called by, and the task it does.

A policy is any ``nn.Module``. Two things are added to it. *Components* say which submodules belong together
(an encoder, a dynamics model, a control head); every parameter belongs to exactly one. *Entries* say how the
module is called; they may share components, and one of them, the deployed one, goes to the board::

    Policy(
        name="cartpole",
        module=net,
        components=(Component("encoder", ("encoder",)), Component("head", ("head",))),
        entries=(Entry("act", Net.act, {"observation": torch.zeros(1, 5)}),),
    )
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.planning import PLAN, Planning

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Component:
    """A named part of the policy.

    Attributes:
        name: what the part is called in budgets and reports.
        modules: dotted paths of its submodules or parameters (``"encoder"``, ``"heads.0"``, ``"log_std"``).
        rate_hz: how often it runs on the robot; None means at the task's control rate.
    """

    name: str
    modules: tuple[str, ...]
    rate_hz: float | None = None


@dataclass(frozen=True)
class Entry:
    """A callable path through the policy.

    Attributes:
        name: ``act``, ``encode``, ``next``, …
        call: ``call(module, **inputs)`` → one tensor, or a dict of named tensors. An unbound method of the
            module's class does (``Net.act``); it must not hold on to one module, because surgery makes copies.
        example_inputs: name → tensor ``[batch, ...]``, with the shapes and dtypes of real inputs.
        feeds: input name → the entries whose output flows into it. ``next`` of a world model has
            ``{"latent": ("encode", "next")}``: both produce what it consumes, so their widths are one width.
            ``"entry.output"`` names one output of an entry with several. Inputs not listed come from outside.
            An input of the deployed entry that its own output feeds, ``{"hidden": ("act.hidden",)}``, is a state: zero
            as an episode starts, kept between calls on the device, and cut at both ends.
        calls_per_step: how often the entry runs in one control step.
        batch: rows per call on the device.
    """

    name: str
    call: Callable[..., torch.Tensor | Tensors]
    example_inputs: Tensors
    feeds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calls_per_step: int = 1
    batch: int = 1

    @property
    def rows_per_run(self) -> int:
        """Rows that are computed in one of its control steps."""
        return self.calls_per_step * self.batch

    def run(self, module: nn.Module, inputs: Tensors) -> dict[str, torch.Tensor]:
        """Calls the entry; a single tensor is named after the entry. Raises SecateurError for anything else."""
        out = self.call(module, **inputs)
        if isinstance(out, torch.Tensor):
            return {self.name: out}
        if not isinstance(out, Mapping) or not all(isinstance(t, torch.Tensor) for t in out.values()):
            raise SecateurError(
                "an entry gives one tensor or a dict of named tensors",
                f"{self.name} gave {type(out).__name__}",
                'Return for example {"action": action, "state": state}.',
            )
        return dict(out)


@dataclass(frozen=True)
class Task:
    """What the policy must do, as a Gymnasium environment and the maps between its spaces and the entry.

    Attributes:
        make_env: a new environment; called once per process.
        to_inputs: observation → name → array ``[1, ...]`` of float32, the deployed entry's inputs but for states.
        to_action: name → array ``[1, ...]`` of the deployed entry's outputs → an action of the environment.
        control_hz: how many times a second the environment is stepped.
        success: the last ``info`` of an episode → whether the task was done; None where the task has no notion of it.
        return_range: the least and the most that the return of an episode can be, whoever acts, where the task's making
            says so: (0, 250) for 250 steps of rewards in [0, 1]. None where it is not known.

    Raises:
        SecateurError: a range that is none.
    """

    make_env: Callable[[], gymnasium.Env]
    to_inputs: Callable[[Any], dict[str, np.ndarray]]
    to_action: Callable[[dict[str, np.ndarray]], Any]
    control_hz: float
    success: Callable[[dict[str, Any]], bool] | None = None
    return_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.return_range is None:
            return
        low, high = self.return_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SecateurError(
                "a task's return_range is the least and the most that a return can be",
                f"got {self.return_range}",
                "Correct it, or leave it out.",
            )


@dataclass(frozen=True)
class Policy:
    """A module with its components and entries. ``entries[0]`` is deployed unless ``deployed`` names another.

    Attributes:
        name: of the policy.
        module: any ``nn.Module``.
        components: whose modules hold every parameter once.
        entries: all ways in which the module is called.
        deployed: the entry that moves the robot, or ``"plan"`` where the planner does.
        planning: how a planner calls the entries; None where there is no planner.
        entry_weights: what each entry counts for in importance and recovery; entries not named count for 1 where
            deployed and 0.1 otherwise.

    Raises:
        SecateurError: a parameter in no component or in two, a path that does not exist, a duplicate name,
            a feed from an unknown entry, or a parameter that is not finite.
    """

    name: str
    module: nn.Module
    components: tuple[Component, ...]
    entries: tuple[Entry, ...]
    deployed: str = ""
    planning: Planning | None = None
    entry_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "deployed", self.deployed or (self.entries[0].name if self.entries else ""))
        _check_names(self)
        self.component_of()
        learnt = dict(self.module.named_parameters())
        for path, tensor in self.module.state_dict().items():
            numbers = ~torch.isnan(tensor) if path not in learnt else torch.isfinite(tensor)
            if not bool(numbers.all()):  # a buffer may be a mask of minus infinity
                raise SecateurError(
                    "every weight of a policy is a finite number",
                    f"{self.name}: {path} holds NaN or infinity",
                    "Train again or load an earlier checkpoint.",
                )

    @property
    def plans(self) -> bool:
        """True where the planner moves the robot."""
        return self.deployed == PLAN and self.planning is not None

    def entry(self, name: str | None = None) -> Entry:
        """The entry of that name; by default the one that observations go into, deployed or of the planner."""
        wanted = name or (self.planning.encode if self.planning and self.plans else self.deployed)
        for entry in self.entries:
            if entry.name == wanted:
                return entry
        raise SecateurError(
            "an entry is one that the policy declares",
            f"{self.name} has no entry {wanted!r}",
            f"It has {', '.join(e.name for e in self.entries)}.",
        )

    def component_of(self) -> dict[str, str]:
        """Parameter path → name of the one component that holds it. A tied weight counts under its first path."""
        owner: dict[str, str] = {}
        named: dict[str, list[str]] = {}
        for component in self.components:
            for prefix in component.modules:
                named.setdefault(prefix, []).append(component.name)
        known: dict[str, frozenset[str]] = {"": frozenset()}

        def holders_of(path: str) -> frozenset[str]:
            found = known.get(path)
            if found is None:
                found = known[path] = holders_of(path.rpartition(".")[0]).union(named.get(path, ()))
            return found

        for path, _ in self.module.named_parameters():
            holders = holders_of(path.rpartition(".")[0])
            if path in named:
                holders = holders.union(named[path])
            if len(holders) != 1:
                several = " and ".join(c.name for c in self.components if c.name in holders)
                raise SecateurError(
                    "every parameter belongs to exactly one component",
                    f"{self.name}: {path} belongs to {several or 'none'}",
                    "List its module in one Component of policy.py.",
                )
            (owner[path],) = holders
        return owner


def _check_names(policy: Policy) -> None:
    def fail(seen: str, remedy: str) -> None:
        raise SecateurError("a policy's declarations agree with its module", f"{policy.name}: {seen}", remedy)

    for kind, names in (
        ("component", [c.name for c in policy.components]),
        ("entry", [e.name for e in policy.entries]),
    ):
        if not names:
            fail(f"it has no {kind}", f"Declare at least one {kind}.")
        for name in names:
            if names.count(name) > 1:
                fail(f"two are called {name!r}", f"Give each {kind} its own name.")
    paths = {path for path, _ in policy.module.named_modules()} | {
        path for path, _ in policy.module.named_parameters()
    }
    for component in policy.components:
        for path in component.modules:
            if path not in paths:
                fail(
                    f"component {component.name!r} names {path!r}, which the module does not have",
                    "Correct the path.",
                )
    known = {e.name for e in policy.entries}
    if PLAN in known:
        fail(f"an entry is called {PLAN!r}, which stands for the planner", "Give it another name.")
    if policy.planning is not None:
        for name in policy.planning.entries:
            if name not in known:
                fail(f"the planner calls the entry {name!r}, which does not exist", "Correct planning.")
    if policy.deployed not in known and not policy.plans:
        fail(f"the deployed entry is {policy.deployed!r}", f"Choose one of {', '.join(sorted(known))}.")
    for entry in policy.entries:
        for name, sources in entry.feeds.items():
            if name not in entry.example_inputs:
                fail(
                    f"entry {entry.name!r} feeds {name!r}, which is not among its inputs", "Correct the name."
                )
            for source in sources:
                if source.split(".")[0] not in known:
                    fail(f"entry {entry.name!r} is fed by {source!r}, which does not exist", "Name an entry.")
