"""The frozen records that flow from stage to stage.

What was predicted (Cost) and what was observed (Measurement) are different types on purpose: no function
takes one for the other, and each says on screen which it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Widths = Mapping[str, int]
"""Pruning group → number of channels it keeps: the one decision variable."""


@dataclass(frozen=True)
class Part:
    """An entry that runs on the robot.

    Attributes:
        name: of the entry; empty where a network stands alone.
        period: control steps from one of its runs to the next; 1 at the control rate.
        fed: input → the part whose output it takes, and which output.
        calls: rows of the entry that are computed in each of its runs.
    """

    name: str = ""
    period: int = 1
    fed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    calls: int = 1


ALONE = (Part(),)
"""A network that is the whole policy."""


@dataclass(frozen=True)
class Range:
    """A predicted quantity, as the interval that it is expected in."""

    low: float
    high: float

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Limits:
    """Upper limits of one component or of the whole; None means no limit."""

    flash_bytes: int | None = None
    ram_bytes: int | None = None
    latency_s: float | None = None
    utilisation: float | None = None


@dataclass(frozen=True)
class Budget:
    """What the policy may cost: in total, by component, and in return (a share of the original's)."""

    total: Limits
    components: Mapping[str, Limits] = field(default_factory=dict)
    max_return_drop: float = 0.05


@dataclass(frozen=True)
class ComponentCost:
    """Predicted cost of one component, per call of the deployed entry.

    Attributes:
        parameters: weights and biases, as torch counts them.
        macs: multiply-accumulates.
        flash_bytes: its weights and tables, exact. Code is shared and counted in the whole only.
        ram_bytes: the largest live set of activations while one of its operators runs, exact.
        instructions: on the target's core, the middle of the prediction; None on a computer, where none are counted.
        latency_s: from the worst and the best cycles per instruction.
        utilisation: worst latency × the rate that it runs at; 0 until a rate is known (``target.step``).
    """

    parameters: int
    macs: int
    flash_bytes: int
    ram_bytes: int
    instructions: int | None
    latency_s: Range
    utilisation: float = 0.0


@dataclass(frozen=True)
class PartTime:
    """Time of one part of a policy whose parts run at their own rates, the quicker ones before the slower.

    Attributes:
        name: of its entry.
        period_s: from one run to the next.
        latency_s: of one run that nothing interrupts.
        response_s: from when it is due until it is through, at most (``target.schedule``); where that is more than
            the period, a time in which it is not through.
        flash_bytes, static_ram_bytes, stack_bytes, instructions: of this part alone, where known; code that parts
            share counts in each.
        components: that it runs, where known.
    """

    name: str
    period_s: float
    latency_s: Range
    response_s: float
    flash_bytes: int | None = None
    static_ram_bytes: int | None = None
    stack_bytes: int | None = None
    instructions: int | None = None
    components: tuple[str, ...] = ()

    @property
    def utilisation(self) -> float:
        """Share of time that it takes, at most."""
        return self.latency_s.high / self.period_s


@dataclass(frozen=True)
class Cost:
    """Predicted cost of the deployed entry on a target.

    Attributes:
        parameters: of the deployed entry.
        macs: multiply-accumulates per call.
        weights_bytes: packed weights, biases and requantisation constants; exact.
        tables_bytes: byte tables of folded element-wise chains; exact.
        code_bytes: an upper bound that holds.
        static_ram_bytes: arena, recurrent state, input and output; exact.
        stack_bytes: an upper bound that holds.
        instructions: per call, the middle of the prediction; None on a computer.
        latency_s: instructions × the target's cycles per instruction / clock.
        components: name → its share.
        utilisation: share of time that the core is busy, at most; 0 until rates are known (``target.step``).
        kernels: whose code is in ``code_bytes``; empty where that is not known.
        parts: of a policy in several parts: parameters, work, bytes and instructions are those of all of them, and the
            latency is that of the parts at the control rate. Else none.
    """

    parameters: int
    macs: int
    weights_bytes: int
    tables_bytes: int
    code_bytes: int
    static_ram_bytes: int
    stack_bytes: int
    instructions: int | None
    latency_s: Range
    components: Mapping[str, ComponentCost] = field(default_factory=dict)
    utilisation: float = 0.0
    kernels: frozenset[str] = frozenset()
    parts: tuple[PartTime, ...] = ()

    @property
    def flash_bytes(self) -> int:
        """Everything the network brings to flash."""
        return self.weights_bytes + self.tables_bytes + self.code_bytes

    @property
    def ram_bytes(self) -> int:
        """Everything the network needs of RAM while it runs."""
        return self.static_ram_bytes + self.stack_bytes


@dataclass(frozen=True)
class Measurement:
    """What was observed when an artifact ran on a device.

    Attributes:
        device: where it ran.
        weights_bytes, tables_bytes, code_bytes, static_ram_bytes: of the linked image; None where there is none.
        stack_bytes: painted, the deepest mark over all calls so far.
        instructions: per call, the most over all counted calls.
        operator_instructions: label of each step of the program → its instructions, for one call.
        latency_s: of one call. On an emulator: counted instructions × the target's cycles per instruction, so
            a range; see ``latency_source``.
        latency_source: ``"measured"``, or what the latency was predicted from.
        cycles: of the board's own counter, per call, the most over all timed calls.
        round_trip_s: of one call as the host saw it, the line to the board included.
        parts: of a policy in several parts, as of ``Cost``; stacks add up, since one part may interrupt another.
    """

    device: str
    weights_bytes: int | None = None
    tables_bytes: int | None = None
    code_bytes: int | None = None
    static_ram_bytes: int | None = None
    stack_bytes: int | None = None
    instructions: int | None = None
    operator_instructions: Mapping[str, int] = field(default_factory=dict)
    latency_s: Range | None = None
    latency_source: str = ""
    cycles: int | None = None
    round_trip_s: Range | None = None
    parts: tuple[PartTime, ...] = ()

    @property
    def flash_bytes(self) -> int | None:
        """Code, weights and tables together."""
        parts = (self.weights_bytes, self.tables_bytes, self.code_bytes)
        return (
            None if any(part is None for part in parts) else sum(part for part in parts if part is not None)
        )

    @property
    def ram_bytes(self) -> int | None:
        """Static RAM and stack together."""
        if self.static_ram_bytes is None or self.stack_bytes is None:
            return None
        return self.static_ram_bytes + self.stack_bytes


@dataclass(frozen=True)
class Parity:
    """How exactly the artifacts agree on golden vectors.

    Attributes:
        vectors: how many inputs were compared.
        float_max_abs_error: torch against the float .tflite.
        int8_mismatched_bytes: int8 .tflite in TFLM against the generated C on the emulated core, over all vectors;
            None on a computer, where there is no C.
        int8_max_abs_error: torch against the int8 .tflite in TFLM, in units of the action; on a computer, against
            the .tflite that is deployed.
        largest_output: the largest magnitude among torch's outputs.
    """

    vectors: int
    float_max_abs_error: float
    int8_mismatched_bytes: int | None
    int8_max_abs_error: float
    largest_output: float = 1.0


@dataclass(frozen=True)
class ClosedLoop:
    """Paired episodes of the original in torch and of the artifact on its device.

    Attributes:
        episodes: pairs, on the same seeds.
        baseline_return_mean, artifact_return_mean: mean return.
        return_ratio: artifact over baseline, of the means.
        ci95: the paired bootstrap's 95 % interval of that ratio.
        baseline_success_rate, success_rate: of the original and of the artifact; None where the task has no success.
        delay_s: actuation delay that the artifact's episodes were run with.
        baseline_returns, artifact_returns: per episode.
    """

    episodes: int
    baseline_return_mean: float
    artifact_return_mean: float
    return_ratio: float
    ci95: tuple[float, float]
    baseline_success_rate: float | None
    success_rate: float | None
    delay_s: float
    baseline_returns: tuple[float, ...]
    artifact_returns: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """Passed, or the list of what was violated, each with the value seen and the limit."""

    violations: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True when nothing was violated."""
        return not self.violations
