"""The command ``secateur init``. No logic here either."""

from typing import Annotated

import typer

from secateur.terminal import quiet_libraries

INPUT_HELP = "An example input of the network, NAME=1x3x64x64 or NAME=SHAPE:DTYPE; may be repeated."


def init(
    module: Annotated[
        str,
        typer.Argument(help="MODULE.py or MODULE.py:NAME, a class of networks or a function that gives one."),
    ],
    example: Annotated[list[str] | None, typer.Option("--input", help=INPUT_HELP)] = None,
) -> None:
    """Write policy.py beside your own network: what could be guessed, and what is to do. This runs MODULE.py."""
    from secateur.adapters.scaffold import write_policy

    with quiet_libraries():
        lines = write_policy(module, example or [])
    typer.echo("\n".join(lines))
