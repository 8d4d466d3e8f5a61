"""What is deployed, converted at two widths: from these every width is priced (``graph.template``)."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from secateur.export.read import read_tflite
from secateur.export.states import state_keeping
from secateur.export.tflite import to_tflite
from secateur.graph.groups import ComponentGraph
from secateur.graph.probe import probe_widths
from secateur.graph.template import Template, fit_template
from secateur.job import Job
from secateur.policy.policy import Policy
from secateur.policy.unroll import fed_back
from secateur.prune.surgery import resized
from secateur.records import Part
from secateur.shared import SharedStages

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
