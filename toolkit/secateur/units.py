"""Quantities as people write them: ``12KiB``, ``2ms``, ``500Hz``, ``5%``; and back again for the screen."""

import re
from collections.abc import Mapping
from fractions import Fraction

from secateur.errors import UsageError

BYTES = {
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
SECONDS = {"s": "1", "ms": "1e-3", "us": "1e-6", "µs": "1e-6", "ns": "1e-9"}
HERTZ = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}
SHARE = {"%": "0.01", "": "1"}

_QUANTITY = re.compile(r"\s*(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})\s*([A-Za-zµ%]*)\s*")


def _parse(
    text: str,
    scales: Mapping[str, str] | Mapping[str, int],
    what: str,
    example: str,
) -> Fraction:
    """The exact value, not negative."""
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in scales:
        known = ", ".join(unit for unit in scales if unit)
        raise UsageError(
            f"{what} is a positive number with one of the units {known}",
            f"got {text!r}",
            f"Write for example {example}.",
        )
    value = Fraction(match[1].rstrip(".")) * Fraction(scales[match[2]])
    if value >= 10**18:
        raise UsageError(f"{what} is of a size that exists", f"got {text!r}", f"Write for example {example}.")
    return value


def _positive(value: Fraction, text: str, what: str, example: str) -> Fraction:
    if value <= 0:
        raise UsageError(f"{what} is above zero", f"got {text!r}", f"Write for example {example}.")
    return value


def parse_bytes(text: str) -> int:
    """``"12KiB"`` → 12288. Raises UsageError for anything else, fractions of a byte included."""
    value = _positive(_parse(text, BYTES, "a size", "12KiB"), text, "a size", "12KiB")
    if value.denominator != 1:
        raise UsageError(
            "a size is a whole number of bytes",
            f"{text!r} is {float(value)} bytes",
            "Write for example 12KiB.",
        )
    return int(value)


def parse_seconds(text: str) -> float:
    """``"2ms"`` → 0.002."""
    return float(_positive(_parse(text, SECONDS, "a time", "2ms"), text, "a time", "2ms"))


def parse_hertz(text: str) -> float:
    """``"500Hz"`` → 500.0."""
    return float(_positive(_parse(text, HERTZ, "a rate", "500Hz"), text, "a rate", "500Hz"))


def parse_fraction(text: str) -> float:
    """``"5%"`` → 0.05; ``"0.05"`` and ``"0%"`` too. Raises UsageError above 100 %."""
    value = _parse(text, SHARE, "a share", "5%")
    if value > 1:
        raise UsageError("a share is at most 100 %", f"got {text!r}", "Write for example 5%.")
    return float(value)


def format_bytes(count: int) -> str:
    """12288 → ``"12.00 KiB"``."""
    for unit, scale in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= scale:
            return f"{count / scale:.2f} {unit}"
    return f"{count} B"


def format_seconds(seconds: float) -> str:
    """0.0021 → ``"2.1 ms"``."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
