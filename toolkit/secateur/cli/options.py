"""Arguments that several commands have."""

from typing import Annotated

import typer

OptimiseOption = Annotated[
    str | None,
    typer.Option(help="What generated C is chosen for: speed (as boards say unless told otherwise) or size."),
]
ToolchainOption = Annotated[
    str | None, typer.Option(help="Who compiles the board's image: zig (unless told otherwise) or gcc.")
]
PolicyArgument = Annotated[
    str, typer.Argument(help="A shipped policy, a folder with policy.py, or module:function.")
]
TargetOption = Annotated[
    str, typer.Option("--target", help="A board (see `secateur targets`) or the path of its TOML.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output and nothing else there.")
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="What a run was made from, where secateur does not ship it: code is run that you name.",
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT."),
]
