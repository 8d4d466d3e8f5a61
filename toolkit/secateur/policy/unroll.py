"""Every entry run on a batch, one after the other, outputs fed to inputs as the entries declare."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.policy import Entry, Policy, Tensors


@dataclass(frozen=True)
class Call:
    """One call of an entry on a batch of states."""

    entry: Entry
    inputs: Tensors
    outputs: Tensors


def run_entries(
    policy: Policy, module: nn.Module, visited: Tensors, passes: int = 2, wanted: str | None = None
) -> list[Call]:
    """Calls every entry on a batch of visited states, feeding outputs to inputs as the entries declare.

    An input fed by several entries takes the first of them in the first pass, the second in the next: the latent
    of a world model comes from the encoder first and from its own dynamics afterwards. So does an input that is
    fed by its own entry alone, the state of a recurrent policy: it is the visited one first, and what the entry
    made of it afterwards.

    Args:
        policy: whose entries are run.
        module: its module, or a pruned copy.
        visited: the deployed entry's inputs, states among them, ``[batch, ...]``.
        passes: how often entries with several sources are run.
        wanted: run this entry and those that feed it, and no others.

    Raises:
        SecateurError: feeds that wait for each other.
    """
    batch = len(next(iter(visited.values())))
    entries = policy.entries if wanted is None else _behind(policy, wanted)
    made: dict[str, Tensors] = {}
    calls: list[Call] = []
    for number in range(passes):
        waiting = [e for e in entries if number == 0 or _deepens(e, number)]
        previous = dict(made)
        while waiting:
            ready = [e for e in waiting if all(s.split(".")[0] in made for s in _sources(e, number).values())]
            if not ready:
                raise SecateurError(
                    "every entry's feeds start from an entry with inputs from outside",
                    f"{', '.join(e.name for e in waiting)} wait for each other",
                    "List the entry that starts the chain first in feeds.",
                )
            for entry in ready:
                inputs = {}
                for name, example in entry.example_inputs.items():
                    source = _sources(entry, number).get(name)
                    if source is not None:
                        inputs[name] = _output(previous if number else made, made, source, name)
                    elif name in visited:
                        inputs[name] = visited[name]
                    else:
                        inputs[name] = example[:1].expand(batch, *example.shape[1:])
                outputs = entry.run(module, inputs)
                made[entry.name] = outputs
                calls.append(Call(entry, inputs, outputs))
                waiting.remove(entry)
    return calls


def _behind(policy: Policy, wanted: str) -> tuple[Entry, ...]:
    """An entry with all that feed it, directly or not, in the policy's order."""
    needed, new = {wanted}, [wanted]
    while new:
        feeds = policy.entry(new.pop()).feeds.values()
        found = {source.split(".")[0] for sources in feeds for source in sources} - needed
        needed |= found
        new += sorted(found)
    return tuple(entry for entry in policy.entries if entry.name in needed)


def _deepens(entry: Entry, number: int) -> bool:
    return any(len(_in_turn(entry, name)) > number for name in entry.feeds)


def _sources(entry: Entry, number: int) -> dict[str, str]:
    chosen = {name: _in_turn(entry, name) for name in entry.feeds}
    found = {name: sources[min(number, len(sources) - 1)] for name, sources in chosen.items()}
    return {name: source for name, source in found.items() if source is not None}


def _in_turn(entry: Entry, name: str) -> tuple[str | None, ...]:
    """What feeds an input, pass by pass; None where it is visited."""
    sources = entry.feeds[name]
    alone = all(source.split(".")[0] == entry.name for source in sources)
    return (None, *sources) if alone else sources


def _output(
    previous: Mapping[str, Tensors], made: Mapping[str, Tensors], source: str, wanted: str
) -> torch.Tensor:
    name, _, output = source.partition(".")
    outputs = previous.get(name, made[name])
    return outputs[output or (wanted if wanted in outputs else next(iter(outputs)))]


def fed_back(policy: Policy, entry: Entry) -> dict[str, str]:
    """Input → output of the same entry that flows into it in the next call: the states of a recurrent policy.

    The module's training mode is as before afterwards.
    """
    if entry.name not in {source.split(".")[0] for sources in entry.feeds.values() for source in sources}:
        return {}
    training = [part for part in policy.module.modules() if part.training]
    with torch.no_grad():
        outputs = list(entry.run(policy.module.eval(), entry.example_inputs))
    for part in training:
        part.training = True
    return own_feeds(entry, outputs)


def own_feeds(entry: Entry, outputs: Collection[str]) -> dict[str, str]:
    """The same, of an entry whose outputs are known by name."""
    states = {}
    for name, sources in entry.feeds.items():
        for source in sources:
            producer, _, output = source.partition(".")
            if producer == entry.name:
                states[name] = output or (name if name in outputs else next(iter(outputs)))
    return states


def run_along(
    entry: Entry, module: nn.Module, states: Mapping[str, str], inputs: Tensors, start: Tensors
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """An entry called step by step, its states carried from each call to the next.

    Args:
        entry: of a recurrent policy.
        module: of the policy.
        states: input → output, from ``fed_back``.
        inputs: the other inputs, name → ``[n, steps, ...]``.
        start: the states before the first step, name → ``[n, ...]``.

    Returns:
        Outputs, name → ``[n, steps, ...]``; and the states before each step, likewise.
    """
    made: dict[str, list[torch.Tensor]] = {}
    before: dict[str, list[torch.Tensor]] = {name: [] for name in states}
    now = {name: start[name] for name in states}
    for step in range(next(iter(inputs.values())).shape[1]):
        outputs = entry.run(module, {**{name: rows[:, step] for name, rows in inputs.items()}, **now})
        for name, state in now.items():
            before[name].append(state)
        for name, output in outputs.items():
            made.setdefault(name, []).append(output)
        now = {name: outputs[output] for name, output in states.items()}
    return (
        {name: torch.stack(rows, 1) for name, rows in made.items()},
        {name: torch.stack(rows, 1) for name, rows in before.items()},
    )
