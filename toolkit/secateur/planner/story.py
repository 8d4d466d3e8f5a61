"""The story of ``secateur prune --entry plan``: a planner for a computer.

policy → what a decision costs, by widths and settings → settings → widths → surgery → recovery
       → one .tflite with a signature for each call, and the program → the program in closed loop → verdict → report
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from secateur.choosing import choose_widths
from secateur.job import prepare
from secateur.pipeline import Progress, PruneRequest
from secateur.planner import stages
from secateur.runfolder import RunFolder, read_finished
from secateur.stages import cut_and_recover, require_feasible


def prune_planner(
    request: PruneRequest, output: Path, resume: bool, command: str, progress: Progress
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

        def stage(name: str, title: str, produce: Callable[[Path], None]) -> Path:
            progress.stage(title)
            return folder.stage(name, produce)

        settled = stage(
            "settings",
            "trying how much planning it takes",
            lambda to: stages.choose_settings(job, price, to, progress.share),
        )
        original = stage(
            "original",
            "rolling the original out",
            lambda to: stages.roll_original(stages.at_settings(job, settled), to, progress.share),
        )
        planned = stages.weighted(job, settled, original)
        chosen = stage(
            "widths",
            "scoring channels, choosing widths",
            lambda to: choose_widths(planned, stages.priced_at(price, settled), original, to, progress.share),
        )
        recovered = stage(
            "policy",
            "cutting and recovering",
            lambda to: cut_and_recover(planned, original, chosen, to, progress.share),
        )
        exported = stage(
            "export",
            "exporting to .tflite",
            lambda to: stages.export(planned, original, chosen, recovered, to, progress.share),
        )
        looped = stage(
            "loop",
            "closing the loop",
            lambda to: stages.close_loop(
                job, stages.priced_at(price, settled), chosen, exported, to, progress.share
            ),
        )
        progress.stage("writing the report")
        made = stages.Made(settled, original, chosen, recovered, exported, looped)
        return stages.publish(
            job, price, folder, made, command, time.perf_counter() - started + folder.earlier_s
        )
