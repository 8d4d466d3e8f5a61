"""The README's own example, so that what the tests run is what people read."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
PRUNE = ("--target", "stm32f446re", "--flash", "4KiB", "--ram", "1KiB", "--rate", "1kHz")


def code_block(marker: str) -> str:
    """The fenced block that starts with a line holding ``marker``."""
    for block in re.findall(r"```\w*\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL):
        if marker in block.splitlines()[0]:
            return block
    raise AssertionError(f"README has no block that starts with {marker!r}")


def write_example(folder: Path) -> Path:
    """Writes the example policy and trains it. Gives its folder."""
    policy = folder / "balance"
    policy.mkdir()
    (policy / "policy.py").write_text(code_block("balance/policy.py"), encoding="utf-8")
    run([sys.executable, str(policy / "policy.py")])
    return policy


def run(command: list[str], check: bool = True) -> subprocess.CompletedProcess:
    """A command in a process of its own, on one thread; where it must succeed, a failure shows what it said."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
    )
    assert not check or done.returncode == 0, (
        f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    return done


def secateur(*arguments: str) -> list[str]:
    """The command line as a user types it."""
    return [sys.executable, "-m", "secateur.cli", *arguments]
