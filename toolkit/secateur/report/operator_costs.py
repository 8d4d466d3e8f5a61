"""Where the time of a call goes, operator by operator: predicted before it was built, and counted as it ran."""

from collections.abc import Mapping
from typing import Any

from secateur.operators.program import Program
from secateur.target.cost import step_cost
from secateur.target.target import Target


def operator_costs(
    program: Program,
    target: Target,
    components: Mapping[str, str],
    counted: Mapping[str, int],
    times: int,
) -> list[dict[str, Any]]:
    """One row a step, in order, and one for what is outside of them.

    Args:
        program: what runs.
        target: the board.
        components: label of a step → the component it belongs to.
        counted: label → instructions in a control step, as the device counted them; empty where it did not.
        times: calls in a control step.

    Returns:
        ``label``, ``component`` (None where unknown), ``kernel``, ``macs``, and for both ``predicted`` and ``counted``:
        ``instructions`` and ``latency_range_s`` of a control step, at the target's cycles per instruction. No clock was
        read for either. ``counted`` is None where nothing was counted.
    """
    rows = []
    for step in program.steps:
        predicted = times * step_cost(step, target).instructions
        seen = counted.get(step.label)
        rows.append(
            {
                "label": step.label,
                "component": components.get(step.label),
                "kernel": step.kernel,
                "macs": times * step.macs,
                "predicted": _timed(step.kernel, predicted, target),
                "counted": None if seen is None else _timed(step.kernel, seen, target),
            }
        )
    return rows


def _timed(kernel: str, instructions: float, target: Target) -> dict[str, Any]:
    latency = target.latency_s({kernel: instructions})
    return {"instructions": round(instructions), "latency_range_s": [latency.low, latency.high]}
