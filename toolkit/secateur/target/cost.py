"""What a program costs on a target before it is built: bytes exactly, instructions by fitted coefficients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from secateur.errors import SecateurError
from secateur.operators.kernels import KERNELS
from secateur.operators.program import Program, Step
from secateur.records import ComponentCost, Cost, Range
from secateur.target.arena import Lifetimes, place
from secateur.target.target import Target

INIT_BYTES = 48
"""Of code that sets a state to zero, at most."""


UNSPILLED_STEPS, SPILLED_BYTES = 12, 4
"""A step function with more calls than these keeps addresses on the stack, as many bytes for each further call at most
(150 networks of 2 to 32 calls, images for Cortex-M4: 56 to 168 bytes)."""

LOOP_CODE_BYTES, LOOP_STACK_BYTES = 64, 48
"""Of a loop over patches in the step function, at most."""


class StepCost(NamedTuple):
    """What one step adds to the cost of its program."""

    parameters: int
    macs: int
    weights_bytes: int
    tables_bytes: int
    instructions: float


def step_cost(step: Step, target: Target) -> StepCost:
    """The cost of one step, the call included.

    Raises:
        SecateurError: the target states no coefficients for its kernel.
    """
    if step.kernel not in target.kernels:
        raise SecateurError(
            "a target states the cost of every kernel",
            f"{target.name} has none for {step.kernel}",
            "Fit them with bench/fit_instructions.py.",
        )
    coefficients = target.kernels[step.kernel].instructions
    instructions = sum(
        coefficients[term] * count for term, count in zip(KERNELS[step.kernel].terms, step.work)
    )
    return StepCost(step.parameters, step.macs, step.weights_bytes, step.tables_bytes, instructions)


@dataclass(frozen=True, eq=False)
class Ledger:
    """What the costs of steps are summed into; it is the same at all widths that give steps of the same kernels.

    Attributes:
        target: the board.
        code_bytes, stack_bytes: by the kernels, which are there once however often they are called.
        lifetimes: of the buffers.
        components: name → indices of its steps.
        kernels: of the steps.
    """

    target: Target
    code_bytes: int
    stack_bytes: int
    lifetimes: Lifetimes
    components: Mapping[str, tuple[int, ...]]
    kernels: tuple[str, ...]

    def cost(self, steps: Sequence[StepCost], sizes_bytes: Sequence[int]) -> Cost:
        """The cost of all steps, with buffers of the given sizes."""
        parameters, macs, weights, tables, instructions = zip(*steps)
        outside = self.target.program.instructions
        total = outside + sum(instructions)
        arena = place(self.lifetimes, tuple(sizes_bytes))
        parts = {}
        for name, indices in self.components.items():
            count = sum([instructions[index] for index in indices])
            parts[name] = ComponentCost(
                parameters=sum([parameters[index] for index in indices]),
                macs=sum([macs[index] for index in indices]),
                flash_bytes=sum([weights[index] + tables[index] for index in indices]),
                ram_bytes=max([arena.live_bytes[index] for index in indices]),
                instructions=round(count),
                latency_s=self._latency_s([(self.kernels[index], instructions[index]) for index in indices]),
            )
        return Cost(
            parameters=sum(parameters),
            macs=sum(macs),
            weights_bytes=sum(weights),
            tables_bytes=sum(tables),
            code_bytes=self.code_bytes,
            static_ram_bytes=arena.size_bytes,
            stack_bytes=self.stack_bytes,
            instructions=round(total),
            latency_s=self._latency_s([*zip(self.kernels, instructions), ("", outside)]),
            components=parts,
            kernels=frozenset(self.kernels),
        )

    def _latency_s(self, steps: Sequence[tuple[str, float]]) -> Range:
        """Of kernels and their instructions."""
        counts: dict[str, float] = {}
        for kernel, instructions in steps:
            counts[kernel] = counts.get(kernel, 0.0) + instructions
        return self.target.latency_s(counts)


def ledger(program: Program, target: Target, components: Mapping[str, str]) -> Ledger:
    """What the costs of the program's steps are summed into; see ``price``."""
    members: dict[str, list[int]] = {}
    for index, step in enumerate(program.steps):
        if step.label in components:
            members.setdefault(components[step.label], []).append(index)
    kernels = {step.kernel for step in program.steps}
    costs = target.program
    return Ledger(
        target=target,
        code_bytes=costs.code_bytes
        + costs.code_bytes_per_step * len(program.steps)
        + INIT_BYTES * len(program.network.states)
        + LOOP_CODE_BYTES * len(program.loops)
        + costs.float_code_bytes * any(kernel.endswith("_float") for kernel in kernels)
        + sum(target.kernels[kernel].code_bytes for kernel in kernels),
        stack_bytes=costs.stack_bytes
        + LOOP_STACK_BYTES * bool(program.loops)
        + SPILLED_BYTES * max(0, len(program.steps) - UNSPILLED_STEPS)
        + max((target.kernels[kernel].stack_bytes for kernel in kernels), default=0),
        lifetimes=tuple((buffer.first, buffer.last) for buffer in program.buffers),
        components={name: tuple(indices) for name, indices in members.items()},
        kernels=tuple(step.kernel for step in program.steps),
    )


def instructions_by_kernel(program: Program, target: Target) -> dict[str, float]:
    """Predicted instructions of a call: kernel → of all its steps; of no kernel, those of the step function."""
    counts = {"": target.program.instructions}
    for step in program.steps:
        counts[step.kernel] = counts.get(step.kernel, 0.0) + step_cost(step, target).instructions
    return counts


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
    steps = [step_cost(step, target) for step in program.steps]
    sizes = [buffer.size_bytes for buffer in program.buffers]
    return ledger(program, target, components or {}).cost(steps, sizes)
