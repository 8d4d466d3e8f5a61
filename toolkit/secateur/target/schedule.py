"""Parts of a policy on one core: each at its own rate, the slower ones interrupted by those at the highest.

Priority by rate is what no other fixed order beats (Liu and Layland 1973, "Scheduling algorithms for multiprogramming
in a hard-real-time environment"). A part that takes C seconds is through at the least R with

    R = C + B + sum over the parts j that run more often of ceil(R / T_j) · C_j

(Joseph and Pandya 1986, "Finding response times in a real-time system"). Parts of the same rate follow each other.
Slower parts do not interrupt each other: one that has begun runs to its end (``export.c.rates`` in its loop, a robot's
program in its one worker). So B has one run of every part of yet another slow rate, which may be under way or waiting.
With two rates B is zero and R is exact; with more it is an upper bound.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from secateur.records import Part, PartTime

_SNAP = 1e-9
"""Share of a period by which a time may miss a whole number of periods."""


def response_s(part: int, latencies_s: Sequence[float], periods_s: Sequence[float]) -> float:
    """From when a part is due until it is through, at most; the first time found to be beyond its period otherwise.

    Args:
        part: its place.
        latencies_s: of all parts, alone.
        periods_s: likewise. Parts of the same period run in the order in which they stand.
    """
    period, quickest = periods_s[part], min(periods_s)
    before = sum(c for i, (c, t) in enumerate(zip(latencies_s, periods_s)) if t == period and i < part)
    others = sum(
        c for c, t in zip(latencies_s, periods_s) if period > quickest and t not in (period, quickest)
    )
    own = before + latencies_s[part] + others
    quicker = [(c, t) for c, t in zip(latencies_s, periods_s) if t < period]
    found = own
    while found <= period * (1 + _SNAP):
        longer = own + sum(ceil(found / t - _SNAP) * c for c, t in quicker)
        if longer <= found * (1 + _SNAP):
            return found
        found = longer
    return found


def with_responses(times: Sequence[PartTime]) -> tuple[PartTime, ...]:
    """The same parts, with the response times of their worst latencies."""
    latencies = [time.latency_s.high for time in times]
    periods = [time.period_s for time in times]
    return tuple(
        replace(time, response_s=response_s(place, latencies, periods)) for place, time in enumerate(times)
    )


def late_periods(times: Sequence[PartTime], parts: Sequence[Part], control_hz: float) -> dict[str, int]:
    """Part → control periods until others see what it made, rounded up; none for parts at the control rate.

    The action of a part at the control rate is late by its latency, which the environment is given
    (``simulate.delay``).
    """
    slower = {part.name for part in parts if part.period > 1}
    return {time.name: ceil(time.response_s * control_hz - _SNAP) for time in times if time.name in slower}
