"""The story of ``secateur prune --entry plan``: a planner for a computer.

policy → what a decision costs, by widths and settings → settings → widths → surgery → recovery
       → one .tflite with a signature for each call, and the program → the program in closed loop → verdict → report
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.choosing import Original
from secateur.job import prepare
from secateur.pipeline import Progress, PruneRequest
from secateur.planner import stages
from secateur.pricing import require_feasible
from secateur.runfolder import RunFolder, read_finished
from secateur.stages import Running
from secateur.workers import Workers


def prune_planner(
    request: PruneRequest,
    output: Path,
    resume: bool,
    command: str,
    progress: Progress,
    workers: Workers | None = None,
) -> Mapping[str, Any]:
    """Runs the chain and gives the summary.

    Raises:
        BudgetInfeasible: not even the cheapest settings fit at the least widths.
        SecateurError: a request that cannot be carried out, or a folder that must not be written to.
    """
    started = time.perf_counter()
    job = prepare(request)
    folder = RunFolder(output, job.identity, resume)
    if folder.finished:
        folder.tidy()
        return read_finished(output)
    progress.stage("converting the original to price it")
    price = stages.plan_price(job)
    require_feasible(job, stages.cheapest(price))

    with folder:
        if folder.finished:  # by another process, while this one was converting
            return read_finished(output)

        run = Running(folder, progress)
        settled = run.stage(
            "settings",
            "trying how much planning it takes",
            lambda to, share: stages.choose_settings(job, price, to, share, workers),
        )
        rolled = run.stage(
            "original",
            "rolling the original out",
            lambda to, share: stages.roll_original(stages.at_settings(job, settled), to, share, workers),
        )
        planned, priced = stages.weighted(job, settled, rolled), stages.priced_at(price, settled)
        chosen, recovered = run.pruned(planned, priced, Original(planned, rolled))
        exported = run.stage(
            "export",
            "exporting to .tflite",
            lambda to, share: stages.export(planned, rolled, chosen, recovered, to, share),
        )
        looped = run.stage(
            "loop",
            "closing the loop",
            lambda to, share: stages.close_loop(job, priced, chosen, exported, to, share, workers),
        )
        drawn = run.stage(
            "figures",
            "drawing the figures of the report",
            lambda to, _: stages.draw_figures(planned, price, settled, chosen, exported, to),
        )
        progress.stage("writing the report")
        made = stages.MadePlanner(chosen, recovered, exported, looped, drawn, settled, rolled)
        return stages.publish(
            job, price, folder, made, command, time.perf_counter() - started + folder.earlier_s
        )
