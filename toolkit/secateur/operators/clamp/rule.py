"""A clamp in place, added by the rule of the operator whose activation it is."""

from dataclasses import dataclass

from secateur.operators.program import Step


@dataclass(frozen=True)
class Clamp:
    """Lowest and highest stored value."""

    low: int
    high: int


def clamp_step(
    label: str, operators: tuple[int, ...], buffer: int, elements: int, low: int, high: int
) -> Step:
    """``buffer[i] = min(max(buffer[i], low), high)`` over ``elements`` bytes."""
    return Step(
        label=label,
        kernel="clamp",
        operators=operators,
        reads=(buffer,),
        writes=(buffer,),
        rows=1,
        columns=elements,
        macs=0,
        parameters=0,
        weights_bytes=0,
        tables_bytes=0,
        work=(1, elements),
        payload=Clamp(low, high),
    )
