"""What a program costs on a target before it is built: bytes exactly, instructions by fitted coefficients."""

from collections.abc import Mapping

from secateur.errors import SecateurError
from secateur.operators.kernels import KERNELS
from secateur.operators.program import Program, Step
from secateur.records import ComponentCost, Cost
from secateur.target.arena import live_bytes, plan
from secateur.target.target import Target


def step_instructions(step: Step, target: Target) -> float:
    """Instructions of one step, the call included."""
    coefficients = target.kernels[step.kernel].instructions
    return sum(coefficients[term] * count for term, count in zip(KERNELS[step.kernel].terms, step.work))


def price(program: Program, target: Target, components: Mapping[str, str] | None = None) -> Cost:
    """The predicted cost of a program.

    Args:
        program: from ``lower``; its constants need no data.
        target: the board.
        components: label of a step → name of the component it belongs to. Steps that are not in it are
            counted in the whole only.

    Returns:
        Weights, tables and static RAM to the byte; code and stack as bounds that hold; instructions and
        latency by the coefficients in the target's file, with the error stated there.

    Raises:
        SecateurError: the target states no coefficients for a kernel of the program.
    """
    steps = program.steps
    kernels = {step.kernel for step in steps}
    missing = kernels - target.kernels.keys()
    if missing:
        raise SecateurError(
            "a target states the cost of every kernel",
            f"{target.name} has none for {', '.join(sorted(missing))}",
            "Fit them with bench/fit_instructions.py.",
        )
    program_costs = target.program
    instructions = [step_instructions(step, target) for step in steps]
    total = program_costs.instructions + sum(instructions)
    return Cost(
        parameters=sum(step.parameters for step in steps),
        macs=sum(step.macs for step in steps),
        weights_bytes=sum(step.weights_bytes for step in steps),
        tables_bytes=sum(step.tables_bytes for step in steps),
        code_bytes=program_costs.code_bytes
        + program_costs.code_bytes_per_step * len(steps)
        + sum(target.kernels[kernel].code_bytes for kernel in kernels),
        static_ram_bytes=plan(program.buffers).size_bytes,
        stack_bytes=program_costs.stack_bytes
        + max((target.kernels[kernel].stack_bytes for kernel in kernels), default=0),
        instructions=round(total),
        latency_s=target.latency_s(total),
        components=_components(program, target, instructions, components or {}),
    )


def _components(
    program: Program, target: Target, instructions: list[float], components: Mapping[str, str]
) -> dict[str, ComponentCost]:
    members: dict[str, list[int]] = {}
    for index, step in enumerate(program.steps):
        if step.label in components:
            members.setdefault(components[step.label], []).append(index)
    costs = {}
    for name, indices in members.items():
        own = [program.steps[index] for index in indices]
        count = sum(instructions[index] for index in indices)
        costs[name] = ComponentCost(
            parameters=sum(step.parameters for step in own),
            macs=sum(step.macs for step in own),
            flash_bytes=sum(step.weights_bytes + step.tables_bytes for step in own),
            ram_bytes=max(live_bytes(program.buffers, index) for index in indices),
            instructions=round(count),
            latency_s=target.latency_s(count),
        )
    return costs
