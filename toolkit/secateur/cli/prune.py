"""The arguments of ``secateur prune``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.options import (
    ClusterOption,
    JsonOption,
    OptimiseOption,
    PolicyArgument,
    TargetOption,
    ToolchainOption,
)
from secateur.errors import EXIT_VERDICT_FAILED
from secateur.terminal import progress, show

IMPORTANCE_HELP = (
    "taylor, taylor2, l1, l2, activation, activation-rms, gradient, fisher, bayesian, closed-loop or random."
)
COEFFICIENTS_HELP = (
    "none, grid or gradient: how groups are weighed in the one ranking of --strategy global or per-component. "
    "The others have none: component-aware measures what each group is worth."
)


def prune(
    policy: PolicyArgument,
    target: TargetOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run; must be empty or new.")],
    flash: Annotated[
        str | None, typer.Option(help="Code, weights and tables together, for example 12KiB.")
    ] = None,
    ram: Annotated[
        str | None, typer.Option(help="Arena, stack, input and output together, for example 3KiB.")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="Worst predicted latency of one call, for example 2ms.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Calls a second the board must manage, for example 500Hz.")
    ] = None,
    utilisation: Annotated[
        str | None, typer.Option(help="Share of time that the core may be busy, for example 70%.")
    ] = None,
    component: Annotated[
        list[str] | None, typer.Option(help="NAME.flash|ram|latency|utilisation=VALUE; may be repeated.")
    ] = None,
    max_return_drop: Annotated[str, typer.Option(help="Largest acceptable loss of return.")] = "5%",
    strategy: Annotated[
        str, typer.Option(help="component-aware, by-importance, per-component, global or uniform.")
    ] = "component-aware",
    importance: Annotated[str, typer.Option(help=IMPORTANCE_HELP)] = "taylor",
    coefficients: Annotated[str, typer.Option(help=COEFFICIENTS_HELP)] = "none",
    episodes: Annotated[
        int, typer.Option(min=2, help="Pairs of episodes that the verdict rests on; it takes 30 to pass.")
    ] = 64,
    recovery_steps: Annotated[
        int, typer.Option(min=0, help="Gradient steps of recovery; 0 for none.")
    ] = 6000,
    recovery_minutes: Annotated[
        float | None, typer.Option(min=0, help="No new round of recovery begins after so many minutes.")
    ] = None,
    recovery_enough: Annotated[
        str | None,
        typer.Option(help="Share of the original's return at which recovery ends, for example 99%."),
    ] = None,
    schedule: Annotated[str, typer.Option(help="one-shot or iterative.")] = "one-shot",
    fake_quantise: Annotated[
        bool,
        typer.Option(
            "--fake-quantise",
            help="Recover with int8 weights and activations in the loop, in the second half.",
        ),
    ] = False,
    pareto: Annotated[
        str | None, typer.Option(help="Not one policy but a front: return against flash, ram or latency.")
    ] = None,
    points: Annotated[int, typer.Option(min=2, help="Of the front.")] = 6,
    frontier: Annotated[
        str | None, typer.Option(help="stability: the smallest flash at which the controller stays stable.")
    ] = None,
    entry: Annotated[str | None, typer.Option(help="plan: prune for the planner, on a computer.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="On a computer: float32, float16, dynamic, int8 or int16x8; of a planner float32 or int8.",
            show_default="float32",
        ),
    ] = None,
    optimise: OptimiseOption = None,
    toolchain: ToolchainOption = None,
    seed: Annotated[int, typer.Option(min=0, max=4294967295, help="Of everything random.")] = 0,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="For episodes. The numbers are the same.", show_default="this one"),
    ] = None,
    cluster: ClusterOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was killed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prune to a budget, recover, export, run on the device and judge in closed loop."""
    from secateur.budget import parse_budget
    from secateur.pipeline import PruneRequest
    from secateur.pipeline import prune as run
    from secateur.units import parse_fraction
    from secateur.workers import at_work

    request = PruneRequest(
        policy=policy,
        target=target,
        budget=parse_budget(flash, ram, latency, rate, component or [], max_return_drop, utilisation),
        strategy=strategy,
        importance=importance,
        coefficients=coefficients,
        seed=seed,
        episodes=episodes,
        recovery_steps=recovery_steps,
        recovery_minutes=recovery_minutes,
        recovery_enough=None if recovery_enough is None else parse_fraction(recovery_enough),
        schedule=schedule,
        fake_quantise=fake_quantise,
        entry=entry,
        dtype=dtype,
        optimise=optimise,
        toolchain=toolchain,
    )
    command = "secateur " + shlex.join(sys.argv[1:])
    if pareto is not None or frontier is not None:
        from secateur.fronts import draw

        with progress() as bars, at_work(processes, cluster, output) as workers:
            document = draw(request, pareto, points, frontier, output, resume, command, bars, workers)
        show(document, output, as_json)
        return
    with progress() as bars, at_work(processes, cluster, output) as workers:
        summary = run(request, output, resume, command, bars, workers=workers)
    show(summary, output, as_json)
    if not summary["verdict"]["passed"]:
        raise typer.Exit(EXIT_VERDICT_FAILED)
