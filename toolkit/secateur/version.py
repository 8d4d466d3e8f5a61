"""The version that a build gets: from the tags of a checkout, else as its sdist says, else the one that is next.

Read by the build alone (``[tool.hatch.version]`` in pyproject.toml); what is installed has it in its metadata.
"""

import re
import subprocess
from pathlib import Path

NEXT = "0.1.0"
"""Of a checkout without tags, and of one that is no repository."""

_DESCRIBED = re.compile(r"v(\d+)\.(\d+)\.(\d+)-(\d+)-g([0-9a-f]+)")


def version(root: Path = Path(__file__).parent.parent.parent) -> str:
    """``v0.2.0`` itself → ``0.2.0``; three commits later → ``0.2.1.dev3+g1a2b3c4``; see PEP 440.

    Args:
        root: of the checkout or of the unpacked sdist.
    """
    told = root / "PKG-INFO"
    if told.is_file():
        found = re.search(r"^Version: (\S+)$", told.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1]
    match = _DESCRIBED.fullmatch(_described(root))
    if match is None:
        return NEXT
    major, minor, patch, commits = map(int, match.groups()[:4])
    if not commits:
        return f"{major}.{minor}.{patch}"
    return f"{major}.{minor}.{patch + 1}.dev{commits}+g{match[5]}"


def _described(root: Path) -> str:
    """What git says of the last tag; nothing without git, a repository or a tag."""
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--tags", "--long", "--match", "v[0-9]*.[0-9]*.[0-9]*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
