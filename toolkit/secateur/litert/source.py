"""What is exported to a computer: a policy, a finished run's policy, or a .tflite; with inputs and torch's answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from secateur.artifact import CALIBRATION_EPISODES, CALIBRATION_STATES, is_run, symbol_name
from secateur.errors import SecateurError, refuse_options
from secateur.pipeline import Share
from secateur.policy.parts import components_of
from secateur.policy.policy import Entry, Policy, Task
from secateur.policy.unroll import fed_back

Arrays = dict[str, np.ndarray]

_CARRIED = 8
"""Calls that a state is carried on for."""


@dataclass(frozen=True, eq=False)
class Calls:
    """Calls of one entry on states met in use: name → ``[n, ...]``, images in torch's order."""

    inputs: Arrays
    outputs: Arrays


@dataclass(frozen=True, eq=False)
class Source:
    """A policy ready to be exported.

    Attributes:
        source: as it was asked for.
        name: a C identifier.
        policy: in torch, with the weights to export.
        task: None where there is none.
        visited: states, ``[n, ...]``; drawn around the example inputs where there is no task.
        note: what the reader of the artifact should know about its making.
    """

    source: str
    name: str
    policy: Policy
    task: Task | None
    visited: Mapping[str, torch.Tensor]
    seeds: tuple[int, ...]
    note: str = ""

    def calls(self) -> dict[str, Calls]:
        """Every entry on the visited states, outputs fed to inputs as the entries declare; entry → calls.

        States that an entry feeds back to itself start from its example and are carried on for a few calls.
        """
        from secateur.policy.unroll import run_entries

        entries = self.policy.entries
        states = {entry.name: fed_back(self.policy, entry) for entry in entries}
        alone = {
            entry.name: {key for key in states[entry.name] if len(entry.feeds[key]) == 1} for entry in entries
        }
        opened = replace(
            self.policy,
            entries=tuple(
                replace(e, feeds={k: f for k, f in e.feeds.items() if k not in alone[e.name]})
                for e in entries
            ),
        )
        visited, made = dict(self.visited), dict[str, list[Calls]]()
        with torch.no_grad():
            for _ in range(_CARRIED if any(alone.values()) else 1):
                for call in run_entries(opened, self.policy.module.eval(), visited):
                    pair = Calls(_numpy(call.inputs), _numpy(call.outputs))
                    made.setdefault(call.entry.name, []).append(pair)
                    carried = {
                        key: call.outputs[states[call.entry.name][key]] for key in alone[call.entry.name]
                    }
                    visited |= {key: tensor.roll(1, 0) for key, tensor in carried.items()}
        return {
            name: Calls(_stacked([c.inputs for c in parts]), _stacked([c.outputs for c in parts]))
            for name, parts in made.items()
        }


def _numpy(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def _stacked(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def open_source(source: str, seed: int, share: Share, named: str | None = None) -> Source:
    """A policy as ``policy.load`` takes it, or the folder of a finished run.

    Args:
        source: its name or path.
        seed: of the episodes that states are taken from.
        share: told of progress.
        named: the policy that a run was made from, where it is not shipped; see ``trusted``.

    Raises:
        SecateurError: neither of them; a run whose policy has changed since; code that only a run's folder names.
    """
    from secateur.policy.load import load
    from secateur.prune.states import evenly, visited_inputs
    from secateur.simulate.controller import torch_controller
    from secateur.simulate.rollout import rollouts

    path = Path(source)
    if path.suffix == ".tflite" or path.is_file():
        raise SecateurError(
            "dtypes are made from a policy or a finished run",
            f"{source} is converted already",
            "Export the policy that it came from; a .tflite can be given to secateur bench as it is.",
        )
    if is_run(path):
        policy, task = _of_run(path, named)
    else:
        refuse_options({"--policy": named}, f"{source} is no run, but the policy itself")
        loaded = load(source)
        policy, task = loaded.policy, loaded.task
    seeds = tuple(int(s) for s in np.random.SeedSequence([seed]).generate_state(CALIBRATION_EPISODES))
    if task is None:
        note = "There was no task to roll out: calibrated on and checked against inputs drawn around the examples."
        return Source(
            source, symbol_name(policy.name), policy, None, _drawn(policy.entry(), seed), seeds, note
        )
    share(0.0, "rolling the policy out")
    states = evenly(
        visited_inputs(task, rollouts(task, torch_controller(policy, task), seeds), policy),
        2 * CALIBRATION_STATES,
    )
    visited = {name: torch.from_numpy(array) for name, array in states.items()}
    return Source(source, symbol_name(policy.name), policy, task, visited, seeds)


def _drawn(entry: Entry, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: example[:1] + torch.randn((CALIBRATION_STATES, *example.shape[1:]), generator=generator)
        for name, example in entry.example_inputs.items()
    }


def _of_run(path: Path, named: str | None) -> tuple[Policy, Task | None]:
    """The recovered policy of a run, rebuilt from the original's code, the widths and the weights."""
    from secateur.graph.groups import build_graph
    from secateur.policy.load import load
    from secateur.policy.weights import load_weights
    from secateur.prune.surgery import rebuild
    from secateur.runfolder import read_finished, request_of, widths_of
    from secateur.trusted import policy_of_run

    read_finished(path)
    request = request_of(path)
    loaded = load(policy_of_run(path, request, named))
    if loaded.code_sha256 != request.get("code_sha256"):
        raise SecateurError(
            "a run is exported with the policy's code that it was pruned with",
            f"the code of {loaded.reference} is another",
            "Check out that version of it, or prune again.",
        )
    policy = rebuild(loaded.policy, build_graph(loaded.policy), widths_of(path))
    load_weights(policy.module, path / "policy.safetensors")
    return policy, loaded.task


def own_entries(policy: Policy) -> dict[str, str]:
    """Component → the entry that runs it and nothing else, for policies whose components run at different rates.

    Empty where all run at the task's rate.

    Raises:
        SecateurError: a component with a rate that no entry runs by itself.
    """
    if all(component.rate_hz is None for component in policy.components):
        return {}
    used = {entry.name: components_of(policy, entry) for entry in policy.entries}
    deployed = used[policy.deployed]
    found = {}
    for component in policy.components:
        alone = [name for name, names in used.items() if names == {component.name}]
        if alone:
            found[component.name] = alone[0]
        elif component.rate_hz is not None or component.name in deployed:
            raise SecateurError(
                "a component that runs at a rate of its own has an entry of its own",
                f"{policy.name}: no entry runs {component.name} alone",
                "Declare it: Entry(name, call, example_inputs, feeds) in policy.py.",
            )
    return {name: entry for name, entry in found.items() if name in deployed}


def file_stem(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)
