"""Arguments → pipeline. No logic here, and no heavy import before a command needs it."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from secateur import __version__
from secateur.cli.init import init
from secateur.cli.options import (
    JsonOption,
    OptimiseOption,
    PolicyArgument,
    PolicyOption,
    TargetOption,
    ToolchainOption,
)
from secateur.cli.prune import prune
from secateur.cli.report import report
from secateur.cli.sweep import sweep
from secateur.cli.verify import verify
from secateur.errors import EXIT_ERROR, EXIT_VERDICT_FAILED, SecateurError, refused
from secateur.terminal import console, progress, quiet_libraries
from secateur.units import parse_bytes

app = typer.Typer(
    name="secateur",
    help="Fits a robot's control policy to a board and proves in closed loop that it still does its task.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init)
app.command()(prune)

DTYPE_HELP = (
    "For a board: int8, int16x8 or float32. For a computer also float16, dynamic, or auto: the quickest that is "
    "accurate enough."
)
RamOption = Annotated[
    int | None,
    typer.Option(
        parser=parse_bytes, metavar="SIZE", help="RAM for generated C; to fit, steps go by patches."
    ),
]


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="A policy, the folder of a finished run, or a .tflite.")],
    target: TargetOption,
    form: Annotated[
        str, typer.Option("--format", help="tflite, c, tflm or firmware; tflite or python for a computer.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; must be empty or new.")],
    layout: Annotated[
        str, typer.Option(help="Of C: cmake, arduino, platformio, zephyr or esp-idf.")
    ] = "cmake",
    name: Annotated[str | None, typer.Option(help="Prefix of C symbols and of files.")] = None,
    dtype: Annotated[str | None, typer.Option(help=DTYPE_HELP)] = None,
    max_return_drop: Annotated[
        str, typer.Option(help="What --dtype auto may lose of the return, where the policy has a task.")
    ] = "5%",
    max_error: Annotated[
        str | None,
        typer.Option(
            help="What --dtype auto may err against torch, as a share of the outputs' range. "
            "2% where the return does not decide; none where it does."
        ),
    ] = None,
    all_entries: Annotated[
        bool,
        typer.Option(
            "--all-entries", help="Also every entry as a signature of one file with shared weights."
        ),
    ] = False,
    device: Annotated[
        str, typer.Option(help="Where --dtype auto measures: host or ssh://user@host.")
    ] = "host",
    optimise: OptimiseOption = None,
    toolchain: ToolchainOption = None,
    ram: RamOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes that a policy is calibrated on.")] = 0,
    policy: PolicyOption = None,
) -> None:
    """Write what goes onto a robot: .tflite files, C packed for a build system, or a bundle for TFLM."""
    from secateur.deploy import ExportRequest
    from secateur.deploy import export as run
    from secateur.report.exported import in_lines
    from secateur.units import parse_fraction

    allowed, drop = parse_fraction(max_error) if max_error else None, parse_fraction(max_return_drop)
    request = ExportRequest(
        *(source, target, form, layout, name, seed, dtype, allowed, all_entries, device, drop),
        *(optimise, toolchain, ram, policy),
    )
    with progress() as bars:
        manifest = run(request, output, "secateur " + shlex.join(sys.argv[1:]), bars)
    typer.echo(in_lines(manifest, output))


@app.command()
def bench(
    source: Annotated[
        str, typer.Argument(help="The folder of a finished run or of an export, or a .tflite.")
    ],
    device: Annotated[
        list[str],
        typer.Option(
            help="emulator, qemu, serial:PORT[@BAUD], host or tflm; "
            "host or ssh://[user@]host[:port] (may be repeated) for computers."
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option("--target", help="A board (see `secateur targets`); may be left out for computers."),
    ] = None,
    calls: Annotated[int, typer.Option(min=1, help="Calls to run and to hold against TFLM.")] = 16,
    threads: Annotated[int | None, typer.Option(min=1, help="On a computer: threads of a call.")] = None,
    utilisation: Annotated[
        str, typer.Option(help="Share of a control period that the policy may take.")
    ] = "50%",
    confidence: Annotated[
        str, typer.Option(help="With which a computer's median is known to ±2 %: 90%, 95% or 99%.")
    ] = "95%",
    max_time: Annotated[str, typer.Option(help="On a computer: longest measurement of one file.")] = "10s",
    force: Annotated[bool, typer.Option("--force", help="Report a throttled computer too, marked.")] = False,
    optimise: OptimiseOption = None,
    toolchain: ToolchainOption = None,
    ram: RamOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a model on devices: sizes and latency, predicted beside measured."""
    from secateur.benchmark import BenchRequest
    from secateur.benchmark import bench as run
    from secateur.litert.request import ComputerBench, bench_on_computers, on_computers
    from secateur.report.bench import print_bench
    from secateur.report.computers import print_computers

    if on_computers(target, device):
        request = ComputerBench(
            *(source, target, tuple(device), threads, utilisation, confidence, max_time, force),
            *(toolchain, optimise, ram),
        )
        with progress() as bars:
            timed = bench_on_computers(request, bars)
        if as_json:
            typer.echo(json.dumps(timed, indent=2, allow_nan=False))
        else:
            print_computers(timed, console(stderr=False))
        if any("error" in one for one in timed["devices"]):
            raise typer.Exit(EXIT_ERROR)
        return
    with progress() as bars:
        found = run(BenchRequest(source, target or "", device[0], calls, optimise, toolchain, ram), bars)
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        print_bench(found, console(stderr=False))
    if found["parity"] and found["parity"]["mismatched_bytes"]:
        raise typer.Exit(EXIT_VERDICT_FAILED)


@app.command()
def calibrate(
    target: Annotated[str, typer.Argument(help="The target to start from, or the path of its TOML.")],
    device: Annotated[
        str,
        typer.Option(help="host or ssh://user@host for a computer, emulator or serial:PORT for a board."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The target file to write, NAME.toml.")],
    dtype: Annotated[
        list[str] | None, typer.Option(help="Of a computer; may be repeated; all by default.")
    ] = None,
    flash: Annotated[
        str | None, typer.Option(help="For serial:PORT: the command that flashes {image} and starts it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a target's latency model to the device in hand; write a target file that every command takes."""
    from secateur.latency.request import calibrate as run
    from secateur.report.computers import print_calibration

    with progress() as bars:
        found = run(target, device, output, dtype or [], flash, "secateur " + shlex.join(sys.argv[1:]), bars)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        print_calibration(found, console(stderr=False))


app.command()(verify)
app.command()(report)
app.command()(sweep)


@app.command()
def inspect(
    policy: PolicyArgument,
    target: Annotated[
        str | None, typer.Option(help="A board or computer: shows what each component costs on it.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Of the cost: int8, int16x8 or float32 on a board; on a computer float16 and dynamic too.",
            show_default="int8 on a board, float32 on a computer",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the same as a page, with a picture of the components.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Components, flows, pruning groups, and what is left whole and why."""
    from secateur.pipeline import inspect as run
    from secateur.report.structure_table import print_structure

    with quiet_libraries():
        described = run(policy, target, html, dtype)
    if as_json:
        typer.echo(json.dumps(described, indent=2))
    else:
        print_structure(described, console(stderr=False))


@app.command()
def targets(name: Annotated[str | None, typer.Argument()] = None, as_json: JsonOption = False) -> None:
    """List boards, or show one."""
    from secateur.report.boards import describe, print_boards
    from secateur.target.target import list_targets, load_any

    boards = [describe(load_any(one)) for one in ([name] if name else list_targets())]
    if as_json:
        typer.echo(json.dumps(boards if name is None else boards[0], indent=2))
    else:
        print_boards(boards, console(stderr=False), whole=name is not None)


@app.command()
def policies(name: Annotated[str | None, typer.Argument()] = None, as_json: JsonOption = False) -> None:
    """List the policies that come with secateur, or show the model card of one."""
    from secateur.report.policies import as_data, print_policies

    if as_json:
        typer.echo(json.dumps(as_data(name), indent=2))
    else:
        print_policies(name, console(stderr=False))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"secateur {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Puts real neural control policies on real robots' boards."""


def main() -> None:
    """Entry point: a SecateurError is one line and its exit code, anything else a traceback."""
    try:
        app(standalone_mode=True)
    except (SecateurError, OSError, MemoryError, RuntimeError) as error:
        if (known := refused(error)) is None:
            raise
        typer.echo(f"secateur: {known}", err=True)
        sys.exit(known.exit_code)
