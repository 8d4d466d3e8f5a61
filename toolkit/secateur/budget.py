"""The budget as the command line states it."""

from collections.abc import Sequence
from typing import Any

from secateur.errors import UsageError
from secateur.records import Budget, Limits
from secateur.units import parse_bytes, parse_fraction, parse_hertz, parse_seconds

_FIELDS = {
    "flash": ("flash_bytes", parse_bytes),
    "ram": ("ram_bytes", parse_bytes),
    "latency": ("latency_s", parse_seconds),
    "utilisation": ("utilisation", parse_fraction),
}


def parse_budget(
    flash: str | None,
    ram: str | None,
    latency: str | None,
    rate: str | None,
    components: Sequence[str],
    max_return_drop: str,
    utilisation: str | None = None,
) -> Budget:
    """Texts → Budget; a rate is a limit of 1/rate on latency, and the tighter of the two holds.

    Raises:
        UsageError: a text that is no quantity, or a component's limit not of the form NAME.RESOURCE=VALUE.
    """
    times = [parse_seconds(latency)] if latency else []
    times += [1.0 / parse_hertz(rate)] if rate else []
    total = Limits(
        flash_bytes=parse_bytes(flash) if flash else None,
        ram_bytes=parse_bytes(ram) if ram else None,
        latency_s=min(times, default=None),
        utilisation=parse_fraction(utilisation) if utilisation else None,
    )
    limits: dict[str, dict[str, Any]] = {}
    for text in components:
        left, equals, value = text.partition("=")
        name, dot, field = left.rpartition(".")
        if not (equals and dot and name) or field not in _FIELDS:
            raise UsageError(
                "a component's limit is NAME.flash, NAME.ram, NAME.latency or NAME.utilisation with a value",
                f"got {text!r}",
                "Write for example --component perception.latency=20ms.",
            )
        key, parse = _FIELDS[field]
        if key in limits.get(name, {}):
            raise UsageError(
                "a component's limit is given once", f"{name}.{field} twice", "Leave one of them out."
            )
        limits.setdefault(name, {})[key] = parse(value)
    return Budget(
        total, {name: Limits(**parts) for name, parts in limits.items()}, parse_fraction(max_return_drop)
    )
