"""The whole story of ``secateur prune``, top to bottom.

policy → component graph → what fits, by predicted cost → widths → surgery → recovery
       → int8 .tflite → C → device: parity, measurement → closed loop → verdict → one report
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.records import Budget
from secateur.shared import SharedStages
from secateur.workers import Workers


@dataclass(frozen=True)
class PruneRequest:
    """What is asked for: everything that decides the result, and nothing else.

    Attributes:
        policy: shipped name, folder or ``module:function``.
        target: board, or the path of its TOML.
        budget: what it may cost.
        strategy: key of ``prune.strategies.STRATEGIES``.
        importance: key of ``prune.importance.IMPORTANCE``.
        coefficients: key of ``prune.weighing.COEFFICIENTS``: how groups are weighed in one ranking.
        seed: of everything random.
        episodes: pairs of episodes that the verdict rests on.
        recovery_steps: gradient steps of recovery in all; 0 for none.
        recovery_minutes: wall time after which no new round of recovery begins; None for no such end.
        recovery_enough: share of the original's return at which recovery ends; None for no such end.
        schedule: key of ``prune.schedule.SCHEDULES``.
        fake_quantise: the second half of recovery has int8 weights and activations in the loop.
        entry: ``plan`` for the planner on a computer; None for the deployed entry.
        dtype: on a computer; of a planner's networks, key of ``target.planning.WEIGHT_BYTES``. None for float32, and
            for int8 on a board, which runs no other.
        optimise: what generated C is chosen for, ``speed`` or ``size``; None for what the board's file says.
        toolchain: who makes the board's image, ``zig`` or ``gcc``; None for what the board's file says.
    """

    policy: str
    target: str
    budget: Budget
    strategy: str = "component-aware"
    importance: str = "taylor"
    coefficients: str = "none"
    seed: int = 0
    episodes: int = 64
    recovery_steps: int = 6000
    recovery_minutes: float | None = None
    recovery_enough: float | None = None
    schedule: str = "one-shot"
    fake_quantise: bool = False
    entry: str | None = None
    dtype: str | None = None
    optimise: str | None = None
    toolchain: str | None = None


Share = Callable[[float, str], None]
"""Told how much of a stage is done, as a share, and a note."""


@dataclass(frozen=True)
class Progress:
    """Where a long run tells what it is doing: stages as they start, shares of the one under way, and in words."""

    stage: Callable[[str], None] = field(default=lambda _: None)
    share: Share = field(default=lambda *_: None)
    tell: Callable[[str], None] = field(default=lambda _: None)


def prune(
    request: PruneRequest,
    output: Path,
    resume: bool,
    command: str,
    progress: Progress = Progress(),
    shared: SharedStages | None = None,
    workers: Workers | None = None,
) -> Mapping[str, Any]:
    """Runs the chain and gives the summary; see DESIGN's artifacts for what ``output`` holds afterwards.

    Stages that depend on neither board, budget nor strategy are taken from ``shared`` where that is given. A planner
    shares none: what its original does depends on the settings that its computer has room for. Episodes of the
    original and of the verdict are run by ``workers``, or here where there are none; the result is the same.

    Where an entry is asked for it is the planner's, on a computer: see ``planner.story``; the deployed entry on a
    computer: see ``litert.pruning``.

    Raises:
        BudgetInfeasible: before anything is written.
        SecateurError: a request that cannot be carried out, or a folder that must not be written to.
    """
    if request.entry is not None:
        from secateur.planner.story import prune_planner

        return prune_planner(request, output, resume, command, progress, workers)
    from secateur.target.computer import Computer
    from secateur.target.target import load_any

    if isinstance(load_any(request.target), Computer):
        from secateur.litert.pruning import prune_for_computer

        return prune_for_computer(request, output, resume, command, progress, shared, workers)
    from secateur import exporting, figures, pricing, stages
    from secateur.choosing import Original
    from secateur.job import prepare
    from secateur.runfolder import RunFolder, read_finished, widths_of

    started = time.perf_counter()
    job = prepare(request)
    folder = RunFolder(output, job.identity, resume)
    if folder.finished:
        folder.tidy()
        return read_finished(output)
    progress.stage("converting the original to price it")
    templates = pricing.templates_of(job, shared)
    price = pricing.price_of(job, templates)
    pricing.require_feasible(job, price)

    with folder:
        if folder.finished:  # by another process, while this one was converting
            return read_finished(output)

        run = stages.Running(folder, progress, shared)
        rolled = run.stage(
            "original",
            "rolling the original out",
            lambda to, share: stages.roll_original(job, to, share, workers),
            stages.of_rollouts(job, stages.STATES_EPISODES),
        )
        chosen, recovered = run.pruned(job, price, Original(job, rolled))
        exported = run.stage(
            "export",
            "exporting to .tflite and C",
            lambda to, share: exporting.export(
                job, stages.recovered_policy(job, chosen, recovered), to, share
            ),
        )
        measured = run.stage(
            "device", "running the firmware", lambda to, _: stages.run_device(job, exported, to)
        )
        baseline = run.stage(
            "baseline",
            "closing the loop around the original",
            lambda to, share: stages.run_baseline(job, to, share, workers),
            stages.of_rollouts(job, request.episodes),
        )
        looped = run.stage(
            "loop",
            "closing the loop around the firmware",
            lambda to, share: stages.close_loop(job, baseline, exported, measured, to, share, workers),
        )
        drawn = run.stage(
            "figures",
            "drawing the figures of the report",
            lambda to, _: figures.draw_for_board(job, templates, widths_of(chosen), exported, measured, to),
        )
        progress.stage("writing the report")
        earlier = stages.Made(rolled, chosen, recovered, exported, measured, looped, drawn)
        return stages.publish(
            job, price, folder, earlier, command, time.perf_counter() - started + folder.earlier_s
        )


def inspect(
    policy: str, target: str | None, page: Path | None = None, dtype: str | None = None
) -> dict[str, Any]:
    """Components, groups and flows of a policy as plain data; with a target, what each component costs on it.

    Args:
        policy: shipped name, folder or ``module:function``.
        target: board or computer, or the path of its TOML; None for none.
        page: where to write the same as HTML with a picture; None for nowhere.
        dtype: that the cost is for; int8 on a board and float32 on a computer unless told otherwise.
    """
    from secateur.errors import SecateurError, UsageError
    from secateur.policy.load import load
    from secateur.policy.parts import parts_of
    from secateur.pricing import cost_as_it_is, dtype_on
    from secateur.prune.analyse import analyse
    from secateur.records import Cost
    from secateur.report.structure import OnBoard, describe
    from secateur.report.structure_html import render_structure
    from secateur.runfolder import write_atomically
    from secateur.simulate.dry_run import acted_on
    from secateur.target.target import load_any

    board = load_any(target) if target else None
    if board is None and dtype is not None:
        raise UsageError(
            "a dtype is of what a policy costs on a target",
            f"--dtype {dtype}, and there is no --target",
            "Add --target, or leave --dtype out.",
        )
    stored = dtype_on(board, dtype) if board else ""
    if page is not None and page.exists():
        raise SecateurError(
            "nothing is written over an earlier result", f"{page} is there already", "Choose another --html."
        )
    loaded = load(policy)
    control_hz = loaded.task.control_hz if loaded.task else None
    graph = analyse(loaded.policy, acted_on(loaded.policy, loaded.task) if loaded.task else ())
    costs = None
    if board is not None:
        cost: Cost | str
        if control_hz is not None:
            parts_of(loaded.policy, control_hz)  # rates that cannot be kept are an error
        try:
            cost = cost_as_it_is(loaded.policy, graph, control_hz, board, stored)
        except SecateurError as error:  # the structure is worth showing all the same
            cost = str(error)
        costs = OnBoard(board, cost, stored)
    described = describe(loaded.policy, graph, control_hz, costs)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(page, render_structure(described).encode())
    return described
