"""``summary.json``: what a run did, as one plain document; all else in this folder is drawn from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from secateur.records import (
    Budget,
    ClosedLoop,
    ComponentCost,
    Cost,
    Limits,
    Measurement,
    Parity,
    Part,
    PartTime,
    Range,
    Verdict,
)
from secateur.runfolder import SCHEMA
from secateur.verify.statistics import wilson_interval

Summary = dict[str, Any]


@dataclass(frozen=True)
class GroupWidth:
    """A pruning group before and after.

    Attributes:
        group: its name.
        components: whose parameters it cuts; more than one for a coupling group.
        before, after: channels.
    """

    group: str
    components: tuple[str, ...]
    before: int
    after: int


@dataclass(frozen=True)
class RecoveryPoint:
    """A point of the recovery's learning curve: optimiser step; loss and mean return where they are known."""

    step: int
    loss: float | None
    return_mean: float | None = None


def summary(
    *,
    policy: str,
    target: str,
    strategy: str,
    seed: int,
    budget: Budget,
    baseline: Cost,
    predicted: Cost,
    measured: Measurement | None,
    parity: Parity | None,
    closed_loop: ClosedLoop | None,
    verdict: Verdict,
    artifacts: Sequence[Mapping[str, Any]],
    wall_s: float,
    baseline_policy_parameters: int,
    policy_parameters: int,
    widths: Sequence[GroupWidth] = (),
    recovery: Sequence[RecoveryPoint] = (),
    search: Mapping[str, Any] | None = None,
    coefficients: Mapping[str, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
    planner: Mapping[str, Any] | None = None,
    computer: Mapping[str, Any] | None = None,
    parts: Sequence[Mapping[str, Any]] = (),
) -> Summary:
    """The document, of nothing but dicts, lists, strings, numbers, booleans and None.

    ``latency_s`` is the worst end of the interval, ``latency_range_s`` all of it. What does not exist is None
    (a missing measurement) or an empty list; a number that is not finite is None too, because JSON has none.

    Args:
        policy: name that loads the original.
        target: name of the board.
        strategy: how widths were chosen.
        seed: of the run.
        budget: what was asked for.
        baseline: predicted cost of the original on the target.
        predicted: predicted cost of the artifact.
        measured: observed on the device; None where nothing was run.
        parity: on the golden vectors; None where nothing was compared.
        closed_loop: paired episodes; None where the policy has no task.
        verdict: of the whole.
        artifacts: path relative to the run's folder, sha256 and size of each file.
        wall_s: duration of the run.
        baseline_policy_parameters: of the whole original, all entries.
        policy_parameters: of the whole pruned policy. (``parameters`` counts the deployed entry.)
        widths: of every pruning group.
        recovery: learning curve; empty where nothing was trained.
        search: response curves and trials that the widths rest on; None where none were made.
        coefficients: pruning group → what its scores were weighed by; None where they were not.
        provenance: versions, seeds, command line, in sections of name → value.
        planner: its settings before and after, and what a decision calls; None where no planner is deployed.
        computer: dtype and place of what was run, where a computer was pruned for; None for others.
        parts: of a policy in several parts, each with what is told of it alone; ``parts`` is left out for others.
    """
    return _plain(
        {
            "schema": SCHEMA,
            "policy": policy,
            "target": target,
            "strategy": strategy,
            "seed": seed,
            "budget": _limits(budget.total)
            | {
                "max_return_drop": budget.max_return_drop,
                "components": {name: _limits(limits) for name, limits in budget.components.items()},
            },
            "baseline": _cost(baseline) | {"policy_parameters": baseline_policy_parameters},
            "predicted": _cost(predicted) | {"policy_parameters": policy_parameters},
            "measured": None if measured is None else _measurement(measured),
            "parity": parity,
            "closed_loop": None if closed_loop is None else _closed_loop(closed_loop),
            "verdict": {"passed": verdict.passed, "violations": verdict.violations},
            "artifacts": artifacts,
            "wall_s": wall_s,
            "widths": widths,
            "recovery": recovery,
            "search": search,
            "coefficients": coefficients,
            "provenance": provenance or {},
            "planner": planner,
            "computer": computer,
            **({"parts": parts} if parts else {}),
        }
    )


def part_records(
    parts: Sequence[Part],
    predicted: Cost,
    measured: Measurement | None,
    parities: Mapping[str, Any],
    late: Mapping[str, int],
) -> list[dict[str, Any]]:
    """``summary.json``'s ``parts``, in the order in which they run; none where there is one.

    Args:
        parts: of the policy.
        predicted: cost of the artifact.
        measured: observed on the device; None where nothing was run.
        parities: part → its parity.
        late: part → control periods by which others saw its output late in the closed loop.
    """
    if len(parts) == 1:
        return []
    foreseen = {time.name: time for time in predicted.parts}
    seen = {time.name: time for time in measured.parts} if measured is not None else {}
    return [
        {
            "name": part.name,
            "period": part.period,
            "rate_hz": 1 / foreseen[part.name].period_s,
            "fed": {name: list(source) for name, source in part.fed.items()},
            "predicted": _part_time(foreseen[part.name]),
            "measured": _part_time(seen[part.name]) if part.name in seen else None,
            "parity": parities.get(part.name),
            "late_periods": late.get(part.name, 0),
        }
        for part in parts
    ]


def _part_time(time: PartTime) -> dict[str, Any]:
    return {
        **_latency(time.latency_s),
        "response_s": time.response_s,
        "utilisation": time.utilisation,
        "flash_bytes": time.flash_bytes,
        "static_ram_bytes": time.static_ram_bytes,
        "stack_bytes": time.stack_bytes,
        "instructions": time.instructions,
    }


def _limits(limits: Limits) -> dict[str, Any]:
    return asdict(limits)


def _latency(latency: Range | None) -> dict[str, Any]:
    if latency is None:
        return {"latency_s": None, "latency_range_s": None}
    return {"latency_s": latency.high, "latency_range_s": [latency.low, latency.high]}


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "parameters": cost.parameters,
        "macs": cost.macs,
        "flash_bytes": cost.flash_bytes,
        "ram_bytes": cost.ram_bytes,
        "instructions": cost.instructions,
        **_latency(cost.latency_s),
        "utilisation": cost.utilisation,
        "weights_bytes": cost.weights_bytes,
        "tables_bytes": cost.tables_bytes,
        "code_bytes": cost.code_bytes,
        "static_ram_bytes": cost.static_ram_bytes,
        "stack_bytes": cost.stack_bytes,
        "components": {name: _component(part) for name, part in cost.components.items()},
    }


def _component(part: ComponentCost) -> dict[str, Any]:
    return {
        "parameters": part.parameters,
        "macs": part.macs,
        "flash_bytes": part.flash_bytes,
        "ram_bytes": part.ram_bytes,
        "instructions": part.instructions,
        **_latency(part.latency_s),
        "utilisation": part.utilisation,
    }


def _measurement(seen: Measurement) -> dict[str, Any]:
    return {
        "device": seen.device,
        "flash_bytes": seen.flash_bytes,
        "ram_bytes": seen.ram_bytes,
        "stack_bytes": seen.stack_bytes,
        "instructions": seen.instructions,
        **_latency(seen.latency_s),
        "latency_source": seen.latency_source,
        "weights_bytes": seen.weights_bytes,
        "tables_bytes": seen.tables_bytes,
        "code_bytes": seen.code_bytes,
        "static_ram_bytes": seen.static_ram_bytes,
        "operator_instructions": dict(seen.operator_instructions),
    }


def _closed_loop(loop: ClosedLoop) -> dict[str, Any]:
    def interval(rate: float | None) -> tuple[float, float] | None:
        return None if rate is None else wilson_interval(round(rate * loop.episodes), loop.episodes)

    return asdict(loop) | {
        "baseline_success_ci95": interval(loop.baseline_success_rate),
        "success_ci95": interval(loop.success_rate),
    }


def _plain(value: Any) -> Any:
    """Nothing but what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if hasattr(value, "item"):  # numpy's scalars
        value = value.item()
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
