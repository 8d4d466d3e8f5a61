"""What is deployed, converted at two widths, and from these the price of every width (``graph.template``)."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from secateur.artifact import BOARD_DTYPES
from secateur.errors import require_known
from secateur.export.read import read_tflite
from secateur.export.states import state_keeping
from secateur.export.tflite import to_tflite
from secateur.graph.groups import ComponentGraph
from secateur.graph.probe import probe_widths
from secateur.graph.template import Template, fit_template
from secateur.job import Job
from secateur.policy.parts import parts_of
from secateur.policy.policy import Policy
from secateur.policy.unroll import fed_back
from secateur.prune.limits import Price, check_feasible
from secateur.prune.strategies import STRATEGIES
from secateur.prune.surgery import resized
from secateur.records import Cost, Part, Widths
from secateur.shared import SharedStages
from secateur.target.by_width import PriceByWidth
from secateur.target.computer import Computer
from secateur.target.on_computer import PriceOnComputer
from secateur.target.step import of_parts
from secateur.target.target import Target

_ANY_SCALE = (0.037, 3)
"""Of a flow where a network is converted to be priced: unlike any that its own operators come to."""


def convert_template(
    policy: Policy,
    graph: ComponentGraph,
    entry: str | None = None,
    dtype: str = "int8",
    fed: Collection[str] = (),
) -> Template:
    """Converts the policy at full widths and at a probe of others, both as surgery makes them, and fits every size.

    Args:
        policy: the original.
        graph: of it.
        entry: that is converted; the deployed one by default.
        dtype: key of ``export.quantize.RECIPES``.
        fed: inputs that come in the scale of another network, whatever is done to them here.
    """
    return _template(policy, graph, entry, _conversions(policy, graph, entry, dtype, fed))


def templates_of_parts(
    policy: Policy, graph: ComponentGraph, parts: Sequence[Part], dtype: str = "int8"
) -> dict[str, Template]:
    """Part → its network at any widths; each is converted, at two widths."""
    return {part.name: convert_template(policy, graph, part.name, dtype, part.fed) for part in parts}


def templates_of(job: Job, shared: SharedStages | None = None, dtype: str = "int8") -> dict[str, Template]:
    """Part → its network at any widths; where runs share stages the conversions are one of them."""
    if shared is None:
        return templates_of_parts(job.policy, job.graph, job.parts, dtype)

    def write(to: Path) -> None:
        for number, part in enumerate(job.parts):
            models = _conversions(job.policy, job.graph, part.name, dtype, part.fed)
            for kind, model in zip(_KINDS, models, strict=True):
                (to / f"{number}.{kind}.tflite").write_bytes(model)

    folder = shared.stage("template", job.origin | {"dtype": dtype}, write)
    return {
        part.name: _template(
            job.policy,
            job.graph,
            part.name,
            tuple((folder / f"{number}.{kind}.tflite").read_bytes() for kind in _KINDS),
        )
        for number, part in enumerate(job.parts)
    }


_KINDS = ("full", "probe")


def _conversions(
    policy: Policy, graph: ComponentGraph, entry: str | None, dtype: str, fed: Collection[str]
) -> tuple[bytes, ...]:
    """The .tflite at full widths and at those of the probe."""
    given = {("", name): _ANY_SCALE for name in fed}

    def converted(policy: Policy) -> bytes:
        chosen = policy.entry(entry)
        examples = {n: e.numpy().repeat(2, 0).astype(np.float32) for n, e in chosen.example_inputs.items()}
        states = fed_back(policy, chosen) if chosen.name == policy.deployed else {}
        return state_keeping(dtype, states, given=given)(to_tflite(policy, entry), examples)

    return tuple(converted(resized(policy, graph, widths)) for widths in (graph.full, probe_widths(graph)))


def _template(
    policy: Policy, graph: ComponentGraph, entry: str | None, models: tuple[bytes, ...]
) -> Template:
    full, other = map(read_tflite, models)
    return fit_template(graph, full, other, probe_widths(graph), policy.entry(entry).name)


def price_of(job: Job, templates: Mapping[str, Template]) -> Price:
    """Widths → predicted cost of a control step on the job's target, from every part's template."""
    return price_on(job, templates, job.board)


def price_on(job: Job, templates: Mapping[str, Template], board: Target) -> Price:
    """The same on any board."""
    return price_of_parts(templates, job.policy, job.parts, job.task.control_hz, board)


def price_of_parts(
    templates: Mapping[str, Template],
    policy: Policy,
    parts: Sequence[Part],
    control_hz: float,
    board: Target,
) -> Price:
    """The same of a policy in parts, from the template of each."""
    prices = {name: PriceByWidth(template, board) for name, template in templates.items()}
    flows = sorted({source for part in parts for source in part.fed.values()})

    def handed(widths: Widths) -> tuple[int, ...]:
        complete = {**templates[parts[0].name].graph.full, **widths}
        return (*(-(-templates[part].output_bytes(output, complete) // 4) * 4 for part, output in flows), 4)

    def code_of(kernel: str) -> int:
        return board.kernels[kernel].code_bytes

    return of_parts(prices, policy, parts, control_hz, handed, code_of)


def price_on_computer(
    templates: Mapping[str, Template],
    policy: Policy,
    parts: Sequence[Part],
    control_hz: float,
    computer: Computer,
    dtype: str,
) -> Price:
    """Widths → predicted cost of a control step on a computer, from the template of each part in that dtype."""
    prices = {name: PriceOnComputer(template, computer, dtype) for name, template in templates.items()}
    return of_parts(prices, policy, parts, control_hz)


def dtype_on(target: Target | Computer, wanted: str | None) -> str:
    """The dtype that costs are predicted for: the one wanted, or int8 on a board and float32 on a computer.

    Raises:
        SecateurError: there is no such dtype there.
    """
    known, usual = (target.latency, "float32") if isinstance(target, Computer) else (BOARD_DTYPES, "int8")
    require_known(f"a dtype of {target.name}", wanted or usual, dict.fromkeys(known))
    return wanted or usual


def cost_as_it_is(
    policy: Policy, graph: ComponentGraph, control_hz: float | None, target: Target | Computer, dtype: str
) -> Cost:
    """The predicted cost of the policy at full widths: of one call of its one part, or of a control step of all parts.

    Args:
        policy: the original.
        graph: of it.
        control_hz: of its task; None where there is none, and shares of time mean nothing.
        target: board or computer.
        dtype: key of ``export.quantize.RECIPES``.

    Raises:
        SecateurError: it cannot be converted, or priced there.
    """
    declared = [c.rate_hz for c in policy.components if c.rate_hz is not None]
    rate_hz = control_hz or max(declared, default=1.0)
    parts = parts_of(policy, rate_hz)
    templates = templates_of_parts(policy, graph, parts, dtype)
    if len(parts) == 1:
        (template,) = templates.values()
        if isinstance(target, Computer):
            return PriceOnComputer(template, target, dtype)({})
        return PriceByWidth(template, target)({})
    if isinstance(target, Computer):
        return price_on_computer(templates, policy, parts, rate_hz, target, dtype)({})
    return price_of_parts(templates, policy, parts, rate_hz, target)({})


def require_feasible(job: Job, price: Price) -> None:
    """Raises BudgetInfeasible where even the least widths are too dear."""
    least = STRATEGIES[job.request.strategy].least(job.graph)
    check_feasible(price, job.budget, {**job.graph.full, **{name: least[name] for name in job.cuttable}})
