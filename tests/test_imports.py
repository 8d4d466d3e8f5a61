"""Imports run one way, and start-up stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import secateur

ROOT = Path(secateur.__file__).parent
ORDER = (
    (
        "__init__",
        "version",
        "records",
        "errors",
        "units",
        "network",
        "shipped",
        "runfolder",
        "runparts",
        "shared",
        "budget",
        "workers",
        "cluster",
    ),
    ("policy",),
    ("adapters",),
    ("graph",),
    ("operators",),
    ("target",),
    ("simulate",),
    ("prune",),
    ("export",),
    ("device",),
    ("verify",),
    ("report",),
    (
        "pipeline",
        "stages",
        "exporting",
        "calibration",
        "artifact",
        "benchmark",
        "deploy",
        "figures",
        "fronts",
        "job",
        "choosing",
        "openers",
        "litert",
        "latency",
        "planner",
        "proof",
        "pricing",
        "trusted",
    ),
    ("sweep", "terminal"),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("secateur.")}
    return found


def test_imports_run_one_way():
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        assert own in RANK, f"{own} has no place in the order"
        for other in _imports(path):
            assert RANK[other] <= RANK[own], f"{path.relative_to(ROOT)} imports {other}"


def test_modules_are_short():
    long = {
        str(p.relative_to(ROOT)): n
        for p in ROOT.rglob("*.py")
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long


START = """
import resource, runpy, sys
sys.argv = ["secateur", "--help"]
try:
    runpy.run_module("secateur.cli", run_name="__main__")
except SystemExit:
    pass
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, "torch" in sys.modules)
"""


def test_help_costs_under_half_a_second_of_cpu():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.splitlines()[-1].split()
    assert heavy == "False"
    assert float(seconds) < 0.5
