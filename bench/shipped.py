"""Every shipped policy on its boards: pruned under a stated budget, proven, one row each.

    python bench/shipped.py [--only quadruped_walk ...]

Runs go to build/shipped and are resumed there; what is finished is collected into bench/results/shipped.json, of which
the README shows the table. Sizes are measured on the linked image, or are those of the files on a computer;
instructions are counted on the emulated core, and latency is predicted from them, or from the work on a computer.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pages

from secateur.report.wording import count, interval, share, size, span
from secateur.runfolder import read_finished, to_json, write_atomically

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "build" / "shipped"
RESULTS = ROOT / "bench" / "results" / "shipped.json"

ROWS = (
    "tdmpc_cartpole --target stm32f446re --rate 500Hz --flash 12KiB --ram 3KiB",
    "tdmpc_cheetah --target stm32f446re --rate 500Hz --flash 32KiB --ram 3KiB --recovery-steps 12000 --episodes 256",
    "cartpole_gru --target rp2040 --rate 250Hz --flash 16KiB --ram 1KiB",
    "quadruped_walk --target stm32f746 --rate 1kHz --flash 64KiB --ram 2KiB",
    "quadruped_walk --target rp2350 --rate 100Hz --flash 64KiB --ram 2KiB",
    "arm_reach_camera --target stm32h743 --flash 176KiB --ram 28KiB --component perception.latency=10.5ms "
    "--recovery-steps 12000",
    "arm_reach_camera --target raspberry-pi-zero-2w --dtype int8 --component perception.latency=3.3ms "
    "--recovery-steps 12000 --episodes 128",
)
"""Arguments of ``secateur prune``, beside the largest drop of 5 % and seed 0."""

COLUMNS = (
    "policy → board", "parameters", "MACs", "flash", "RAM", "latency, predicted", "return", "kept (95 %)", "success",
    "verdict",
)  # fmt: skip

KEPT = ("parameters", "macs", "flash_bytes", "ram_bytes", "latency_range_s")


def folder_of(arguments: str) -> Path:
    """Where a row's run is: by policy and target."""
    policy, _, target = arguments.split()[:3]
    return RUNS / f"{policy}-{target}"


def judged(command: Sequence[str]) -> None:
    """Carries out a command that ends with a verdict; one that fails is a result, anything else ends the program."""
    done = subprocess.run(command)
    if done.returncode not in (0, 4):
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}")


def each_asked(description: str | None, rows: Sequence[str], carry_out: Callable[[str], None]) -> None:
    """Reads the command line, and carries out the rows of the policies that it asks for."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", help="policies to carry out; the others are only collected")
    parser.add_argument("--collect", action="store_true", help="carry out nothing")
    args = parser.parse_args()
    for arguments in rows:
        if not args.collect and (args.only is None or arguments.split()[0] in args.only):
            carry_out(arguments)


def run(arguments: str) -> None:
    """Prunes, or goes on where it was killed; a verdict that fails is a result."""
    folder = folder_of(arguments)
    if (folder / "summary.json").exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "secateur.cli", "prune", *shlex.split(arguments)]
    command += ["--max-return-drop", "5%", "--seed", "0", "-o", str(folder)]
    command += ["--resume"] if folder.exists() else []
    judged(command)


def record(arguments: str) -> dict[str, Any]:
    """What the table shows of a finished run."""
    found = read_finished(folder_of(arguments))
    measured = found["measured"] or {}
    loop = found["closed_loop"]
    return {
        "command": f"secateur prune {arguments} --max-return-drop 5% --seed 0 -o run",
        "policy": found["policy"],
        "target": found["target"],
        "before": {name: found["baseline"].get(name) for name in KEPT},
        "after": {name: measured.get(name, found["predicted"].get(name)) for name in KEPT},
        "measured": [name for name in KEPT[2:4] if measured.get(name) is not None],
        "device": measured.get("device"),
        "instructions": measured.get("instructions"),
        "parts": [
            {
                "name": part["name"],
                "rate_hz": part["rate_hz"],
                "latency_range_s": (part["measured"] or part["predicted"])["latency_range_s"],
            }
            for part in found.get("parts", ())
        ],
        "return": [loop["baseline_return_mean"], loop["artifact_return_mean"]],
        "kept": loop["return_ratio"],
        "ci95": loop["ci95"],
        "success": [loop["baseline_success_rate"], loop["success_rate"]],
        "episodes": loop["episodes"],
        "parity": found["parity"],
        "passed": found["verdict"]["passed"],
        "violations": found["verdict"]["violations"],
        "wall_s": found["wall_s"],
    }


def latency(row: Mapping[str, Any]) -> str:
    """Of the deployed entry, before and after; beside it that of parts with rates of their own."""
    cell = f"{span(row['before']['latency_range_s'])} → {span(row['after']['latency_range_s'])}"
    if not row["parts"]:
        return cell
    *slower, last = row["parts"]
    others = (f"{part['name']} at {part['rate_hz']:g} Hz: {span(part['latency_range_s'])}" for part in slower)
    return "; ".join([f"{last['name']} at {last['rate_hz']:g} Hz: {cell}", *others])


def table(results: Mapping[str, Any]) -> str:
    """The rows as Markdown, with their commands."""
    rows = []
    for row in results["rows"]:
        before, after = row["before"], row["after"]
        ratio = after["parameters"] / before["parameters"]
        cells = (
            f"{row['policy']} → {row['target']}",
            f"{count(before['parameters'])} → {count(after['parameters'])} ({share(ratio)})",
            f"{count(before['macs'])} → {count(after['macs'])}",
            f"{size(before['flash_bytes'])} → {size(after['flash_bytes'])}",
            f"{size(before['ram_bytes'])} → {size(after['ram_bytes'])}",
            latency(row),
            f"{row['return'][0]:.1f} → {row['return'][1]:.1f}",
            f"{share(row['kept'])} ({interval(row['ci95'])})",
            "–" if row["success"][1] is None else " → ".join(share(each, 0) for each in row["success"]),
            "passed" if row["passed"] else "FAILED: " + "; ".join(row["violations"]),
        )
        rows.append(cells)
    commands = "\n".join(row["command"] for row in results["rows"])
    return f"{pages.table(COLUMNS, rows)}\n\n```sh\n{commands}\n```"


def main() -> None:
    """Runs what is missing, collects what is there."""
    each_asked(__doc__, ROWS, run)
    rows = [record(each) for each in ROWS if (folder_of(each) / "summary.json").exists()]
    write_atomically(RESULTS, to_json({"command": "python bench/shipped.py", "rows": rows}))
    print(table({"rows": rows}))


if __name__ == "__main__":
    main()
