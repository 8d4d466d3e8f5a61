"""Every entry run on a batch, one after the other, outputs fed to inputs as the entries declare."""

from collections.abc import Mapping
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
    of a world model comes from the encoder first and from its own dynamics afterwards.

    Args:
        policy: whose entries are run.
        module: its module, or a pruned copy.
        visited: the deployed entry's inputs, ``[batch, ...]``.
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
    return any(len(sources) > number for sources in entry.feeds.values())


def _sources(entry: Entry, number: int) -> dict[str, str]:
    return {name: sources[min(number, len(sources) - 1)] for name, sources in entry.feeds.items()}


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
    states = {}
    for name, sources in entry.feeds.items():
        for source in sources:
            producer, _, output = source.partition(".")
            if producer == entry.name:
                states[name] = output or (name if name in outputs else outputs[0])
    return states
