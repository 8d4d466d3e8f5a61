"""A fill, added by the rule of the operator whose places it fills."""

from dataclasses import dataclass

from secateur.operators.program import Step


@dataclass(frozen=True)
class Fill:
    """The stored value."""

    value: int


def fill_step(label: str, operator: int, buffer: int, elements: int, value: int) -> Step:
    """``buffer[i] = value`` over ``elements`` bytes."""
    return Step(
        label=label,
        kernel="fill",
        operators=(operator,),
        reads=(),
        writes=(buffer,),
        rows=1,
        columns=elements,
        macs=0,
        parameters=0,
        weights_bytes=0,
        tables_bytes=0,
        work=(1, elements),
        payload=Fill(value),
    )
