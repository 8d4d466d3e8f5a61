"""The arguments of ``secateur verify``."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.options import ClusterOption, JsonOption, PolicyOption
from secateur.errors import EXIT_VERDICT_FAILED
from secateur.terminal import console, progress


def verify(
    source: Annotated[str, typer.Argument(help="The folder of a finished run, or a policy with --target.")],
    device: Annotated[
        str, typer.Option(help="emulator, host, qemu, tflm or serial:PORT; host or ssh://… for computers.")
    ],
    target: Annotated[
        str | None,
        typer.Option("--target", help="Board of a policy; of a run, where it is a file of your own."),
    ] = None,
    policy: PolicyOption = None,
    episodes: Annotated[
        int | None, typer.Option(min=2, help="Pairs at most; as many as the power needs, up to 512.")
    ] = None,
    delay: Annotated[
        str, typer.Option(help="measured, predicted, none, or a time such as 5ms.")
    ] = "predicted",
    max_return_drop: Annotated[str, typer.Option(help="Largest acceptable loss of return.")] = "5%",
    stress: Annotated[
        str | None, typer.Option(help="standard, or kinds of disturbance with commas: pushes,sensor-noise.")
    ] = None,
    stress_pairs: Annotated[int, typer.Option(min=4, help="Pairs for each disturbance.")] = 24,
    attribution: Annotated[
        bool, typer.Option("--attribution", help="Which component costs the return, pruned and in int8.")
    ] = False,
    region: Annotated[
        bool, typer.Option("--region", help="Map the starts from which original and artifact recover.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="As many as there are cores. The numbers are the same.")
    ] = None,
    cluster: ClusterOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; verify.json beside a run.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=4294967295, help="Of everything random.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Prove in closed loop that the artifact does what the original does, or say that it does not."""
    from secateur.proof.story import VerifyRequest
    from secateur.proof.story import verify as run
    from secateur.report.verification import print_verification
    from secateur.units import parse_fraction

    request = VerifyRequest(
        source=source,
        device=device,
        target=target,
        episodes=episodes,
        delay=delay,
        max_return_drop=parse_fraction(max_return_drop),
        stress=stress,
        stress_pairs=stress_pairs,
        attribution=attribution,
        region=region,
        processes=processes,
        cluster=cluster,
        seed=seed,
        policy=policy,
    )
    with progress() as bars:
        document = run(request, output, "secateur " + shlex.join(sys.argv[1:]), bars)
    if as_json:
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        print_verification(document, console(stderr=False))
    if not document["verdict"]["passed"]:
        raise typer.Exit(EXIT_VERDICT_FAILED)
