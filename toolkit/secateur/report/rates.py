"""How long original and artifact take on every board there is, beside the rates that robots are controlled at."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from secateur.errors import SecateurError
from secateur.records import Cost
from secateur.report.svg import Scale
from secateur.target.computer import Computer
from secateur.target.target import Target, list_targets, load_any

Board = Target | Computer

BANDS = (
    (10.0, 50.0, "10–50 Hz", "navigation and policies that look at pictures"),
    (50.0, 200.0, "50–200 Hz", "joint targets of arms and legs"),
    (200.0, 1000.0, "200 Hz–1 kHz", "flight and torque"),
)
"""Rates that control loops usually run at: from, to (Hz), as text, and what runs there.

Points to go by: Nav2's controller server runs at 20 Hz by default (docs.nav2.org, controller_frequency), ArduPilot's
Copter at 400 Hz (ardupilot.org, Copter Attitude Control), the interface of Universal Robots' e-Series at 500 Hz, and
Franka's at 1 kHz (libfranka).
"""


CostsOn = Callable[[Board], tuple[Cost, Cost]]
"""Board → predicted cost of a control step of the original and of the artifact on it."""


def latency_by_board(costs_on: CostsOn, own: Board) -> list[dict[str, Any]]:
    """What original and artifact are predicted to take on every board, the run's own first.

    Args:
        costs_on: prices both on a board.
        own: the board that the run was for.

    Returns:
        ``name``, ``own``, ``core``, ``clock_hz``, ``runtime``, and either ``before`` and ``after`` with
        ``latency_range_s`` and ``fits`` (flash and RAM of the board), or ``unknown``: why there is no prediction.
    """
    others = [load_any(name) for name in list_targets() if name != own.name]
    return [_on(board, costs_on, board is own) for board in (own, *others)]


def _on(board: Board, costs_on: CostsOn, own: bool) -> dict[str, Any]:
    described = {
        "name": board.name,
        "own": own,
        "core": board.core,
        "clock_hz": board.clock_hz,
        "runtime": board.runtime,
    }
    try:
        before, after = costs_on(board)
        return described | {"before": _told(board, before), "after": _told(board, after)}
    except SecateurError as error:
        return described | {"unknown": str(error)}


def _told(board: Board, cost: Cost) -> dict[str, Any]:
    flash = board.network_flash_bytes if isinstance(board, Target) else None
    fits = cost.ram_bytes <= board.network_ram_bytes and (flash is None or cost.flash_bytes <= flash)
    return {"latency_range_s": [cost.latency_s.low, cost.latency_s.high], "fits": fits}


def periods(boards: Sequence[Mapping[str, Any]]) -> Scale:
    """The logarithmic axis of durations [s] that all boards of a run, and all bands, are drawn on: 0 to 100."""
    ends = [
        end
        for board in boards
        for stage in ("before", "after")
        if stage in board
        for end in board[stage]["latency_range_s"]
    ]
    shortest, longest = min([*ends, 1 / BANDS[-1][1]]), max([*ends, 1 / BANDS[0][0]])
    return Scale([shortest / 1.3, longest * 1.3], 0.0, 100.0, log=True)
