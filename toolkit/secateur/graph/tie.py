"""What flows from entry to entry: a fed input is as wide as what feeds it, and what leaves the policy stays whole."""

from collections.abc import Mapping

from secateur.errors import SecateurError
from secateur.graph import axes
from secateur.graph.found import Makers, Trace
from secateur.graph.views import Axes
from secateur.policy.policy import Policy
from secateur.policy.unroll import own_feeds


def tie(policy: Policy, trace: Trace, makers_of: Mapping[tuple[str, str], Makers]) -> None:
    """Unifies fed inputs with what feeds them, and fixes outputs that leave the policy.

    What the deployed entry feeds back to itself stays on the device, and is as free as what feeds another entry.
    """
    fed: set[tuple[str, str]] = set()
    behind: dict[str, set[str]] = {}
    for entry in policy.entries:
        for name in entry.example_inputs:
            makers: set[str] = set()
            for source in entry.feeds.get(name, ()):
                source_entry, _, output = source.partition(".")
                output = output or _only_output(trace, source_entry, name)
                fed.add((source_entry, output))
                _feed(trace, (entry.name, name), (source_entry, output))
                makers |= {maker for maker, _ in makers_of[source_entry, output]}
            behind[f"<{entry.name}.{name}"] = makers
    kept = {
        (entry.name, output)
        for entry in policy.entries
        if entry.name == policy.deployed
        for output in own_feeds(
            entry, [name for owner, name in trace.outputs if owner == entry.name]
        ).values()
    }
    for key, its_axes in trace.outputs.items():
        if key not in fed or (key[0] == policy.deployed and key not in kept):
            for axis in its_axes:
                axes.fix(axis, f"{key[0]} gives it to the outside")
    found = dict.fromkeys(trace.crossings)  # without doubles, in the order of execution
    trace.inlets = [
        (maker.partition(".")[2], consumer, its_axes)
        for maker, consumer, its_axes in found
        if maker.startswith("<") and not behind[maker]
    ]
    trace.outlets = [
        (maker, output, its_axes)
        for (entry, output), makers in makers_of.items()
        if (entry, output) not in fed or entry == policy.deployed
        for maker, its_axes in sorted(makers, key=lambda made: (made[0], _sizes(made[1])))
        if not maker.startswith("<")
    ]
    crossings = (
        (real, consumer, its_axes)
        for maker, consumer, its_axes in found
        for real in (behind.get(maker, ()) if maker.startswith("<") else (maker,))
        if real != consumer and not real.startswith("<")
    )
    trace.crossings = sorted(dict.fromkeys(crossings), key=lambda c: (c[0], c[1], _sizes(c[2])))


def _feed(trace: Trace, into: tuple[str, str], source: tuple[str, str]) -> None:
    """Unifies a fed input with what feeds it. Examples of two batches, the first axis of several, stay apart."""
    if source not in trace.outputs:
        given = ", ".join(name for owner, name in trace.outputs if owner == source[0])
        raise SecateurError(
            "an input is fed by an output that is there",
            f"{into[0]}.{into[1]} is fed by {source[0]}.{source[1]}, and {source[0]} gives {given or 'nothing'}",
            "Correct its name in feeds.",
        )
    taken, made = trace.inputs[into], trace.outputs[source]
    apart = int(min(len(taken), len(made)) > 1 and axes.size(taken[0]) != axes.size(made[0]))
    if _sizes(taken[apart:]) != _sizes(made[apart:]):
        raise SecateurError(
            "an input is as large as what feeds it",
            f"{into[0]}.{into[1]} takes {list(_sizes(taken))}, and {source[0]}.{source[1]} gives {list(_sizes(made))}",
            "Correct feeds, or the example input.",
        )
    for one, two in zip(taken[apart:], made[apart:]):
        axes.unify(one, two)


def _sizes(its_axes: Axes) -> tuple[int, ...]:
    return tuple(map(axes.size, its_axes))


def _only_output(trace: Trace, entry: str, wanted: str) -> str:
    """An entry's output by the input's name, or its only one."""
    names = [name for owner, name in trace.outputs if owner == entry]
    return wanted if wanted in names else names[0]
