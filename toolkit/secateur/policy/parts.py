"""The parts of a deployed policy: the deployed entry and the entries that feed it, each run at a rate of its own.

A camera gives twenty frames a second and a joint is controlled a hundred times: perception is then an entry that feeds
the deployed one, and declares its rate. At control step k a part runs where k is a multiple of its period; between its
runs its output stands, and feeds the parts that run more often. At step 0 all run, those that feed first.
"""

import torch

from secateur.errors import SecateurError
from secateur.policy.policy import Entry, Policy, Task
from secateur.policy.unroll import fed_back
from secateur.records import Part

_WHOLE = 1e-6
"""Share by which a period may miss a whole number of control steps."""


def part_names(policy: Policy) -> tuple[str, ...]:
    """The entries that run on the robot, those that feed others first, the deployed one last.

    Raises:
        SecateurError: entries that wait for each other.
    """
    ordered: list[str] = []
    under_way: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in under_way:
            raise SecateurError(
                "the parts of a deployed policy feed each other in one direction",
                f"{policy.name}: {' → '.join([*under_way[under_way.index(name) :], name])}",
                "Carry what comes back as a state of one entry, or in the observation.",
            )
        under_way.append(name)
        for sources in policy.entry(name).feeds.values():
            for source in sources:
                if (feeding := source.split(".")[0]) != name:
                    visit(feeding)
        under_way.pop()
        ordered.append(name)

    visit(policy.entry().name)
    return tuple(ordered)


def outside_inputs(policy: Policy) -> dict[str, torch.Tensor]:
    """What ``Task.to_inputs`` gives: the inputs of every part that no entry feeds, name → example ``[batch, ...]``."""
    return {
        name: example
        for part in map(policy.entry, part_names(policy))
        for name, example in part.example_inputs.items()
        if not part.feeds.get(name)
    }


def parts_of(policy: Policy, control_hz: float) -> tuple[Part, ...]:
    """The parts in the order in which they run; one for a policy whose deployed entry no other feeds.

    A part's rate is that of its components. Where a policy has one part, it runs at the control rate, whatever its
    components declare (``require_one_rate``).

    Args:
        policy: whose deployed entry, or planner, is meant; a planner is one part.
        control_hz: rate of the task.

    Raises:
        SecateurError: components of one part that differ in rate; a rate that is no whole fraction of the task's;
            a deployed entry below it; an input that several entries feed; entries that wait for each other; or a
            recurrent part among several.
    """
    names = part_names(policy)
    if len(names) == 1:
        return (Part(*names, calls=policy.entry(*names).rows_per_run),)
    periods = {name: _period(policy, policy.entry(name), control_hz) for name in names}
    deployed = names[-1]
    if periods[deployed] != 1:
        raise SecateurError(
            "the entry that moves the robot runs at the control rate",
            f"{policy.name}.{deployed} runs at {control_hz / periods[deployed]:g} Hz, the task at {control_hz:g} Hz",
            "Put the slower components into an entry of their own that feeds it, or lower control_hz.",
        )
    entries = {name: policy.entry(name) for name in names}
    return tuple(
        Part(name, periods[name], _fed(policy, entry), entry.rows_per_run) for name, entry in entries.items()
    )


def sees_pictures(policy: Policy) -> bool:
    """Whether what moves the robot takes an image: an input ``[batch, a, b, c]`` of one of its parts."""
    entries = (policy.entry(name) for name in part_names(policy))
    return any(example.ndim == 4 for entry in entries for example in entry.example_inputs.values())


def require_one_rate(policy: Policy, control_hz: float) -> None:
    """Raises SecateurError where components of a policy in one part declare another rate than the task's."""
    if len(part_names(policy)) > 1:
        return
    slow = [c.name for c in policy.components if c.rate_hz not in (None, control_hz)]
    if slow:
        raise SecateurError(
            "components at a rate of their own have an entry of their own that feeds the deployed one",
            f"{policy.name}: {', '.join(slow)} declare a rate, and nothing feeds {policy.deployed}",
            "Declare Entry('see', ...) for them and feeds={'features': ('see',)} in the deployed entry, or leave "
            "rate_hz out.",
        )


def _period(policy: Policy, entry: Entry, control_hz: float) -> int:
    rates = {c.name: c.rate_hz for c in policy.components if c.rate_hz is not None}
    if not rates:
        return 1
    own = {name: rates.get(name, control_hz) for name in components_of(policy, entry)}
    if len(set(own.values())) > 1:
        told = ", ".join(f"{name} at {rate:g} Hz" for name, rate in sorted(own.items()))
        raise SecateurError(
            "the components of one entry run at one rate",
            f"{policy.name}.{entry.name} runs {told}",
            "Give what runs at another rate an entry of its own that feeds it: "
            f"Entry({entry.name!r}, ..., feeds={{...}}).",
        )
    rate_hz = next(iter(own.values()), control_hz)
    steps = control_hz / rate_hz
    if not (steps > 0.5 and abs(steps - round(steps)) <= _WHOLE * steps):
        below = control_hz / max(1, int(steps) + 1)
        raise SecateurError(
            "a part's rate is a whole fraction of the task's control_hz",
            f"{policy.name}.{entry.name} runs at {rate_hz:g} Hz, the task at {control_hz:g} Hz",
            f"Take for example {below:g} Hz.",
        )
    return round(steps)


def _fed(policy: Policy, entry: Entry) -> dict[str, tuple[str, str]]:
    """Input → where it comes from."""
    if fed_back(policy, entry):
        raise SecateurError(
            "a policy that remembers is one part",
            f"{policy.name} has several, and {entry.name} feeds itself",
            "Deploy one entry that runs all of it at one rate, or keep the memory in the environment.",
        )
    found = {}
    for name, sources in entry.feeds.items():
        if len(sources) != 1:
            raise SecateurError(
                "an input of a deployed part comes from one entry",
                f"{policy.name}.{entry.name} takes {name!r} from {' and '.join(sources) or 'none'}",
                "Name the one that feeds it on the robot.",
            )
        feeding, _, output = sources[0].partition(".")
        found[name] = (feeding, output or _output(policy, feeding, name))
    return found


def _output(policy: Policy, feeding: str, wanted: str) -> str:
    """The output that an input takes where none is named: the one of its own name, or the first."""
    entry = policy.entry(feeding)
    with torch.no_grad():
        outputs = list(entry.run(policy.module, entry.example_inputs))
    return wanted if wanted in outputs else outputs[0]


def periods_of_inputs(policy: Policy, task: Task) -> dict[str, int]:
    """Outside input → control steps from one step at which a part takes it to the next."""
    found: dict[str, int] = {}
    for part in parts_of(policy, task.control_hz):
        entry = policy.entry(part.name)
        for name in entry.example_inputs:
            if not entry.feeds.get(name):
                found[name] = min(part.period, found.get(name, part.period))
    return found


def components_of(policy: Policy, entry: Entry) -> set[str]:
    """Components whose parameters an entry uses, as the gradient of its outputs tells."""
    owner = policy.component_of()
    parameters = [p for p in policy.module.parameters() if p.is_floating_point()]
    needed = [p.requires_grad for p in parameters]
    training = [part for part in policy.module.modules() if part.training]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        outputs = entry.run(policy.module.eval(), entry.example_inputs)
        total = torch.stack([tensor.float().sum() for tensor in outputs.values()]).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True) if total.requires_grad else ()
    finally:
        for parameter, before in zip(parameters, needed):
            parameter.requires_grad_(before)
        for part in training:
            part.training = True
    names = [name for name, p in policy.module.named_parameters() if p.is_floating_point()]
    return {owner[name] for name, gradient in zip(names, gradients) if gradient is not None}
