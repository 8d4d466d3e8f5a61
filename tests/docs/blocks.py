"""Fenced blocks of Markdown, as the tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path) -> list[tuple[str, str, str]]:
    """Language, what stands behind it, and text of every block."""
    return [(m[1], m[2].strip(), m[3]) for m in _FENCE.finditer(path.read_text(encoding="utf-8"))]


def block(path: Path, first: str) -> str:
    """The block whose first line holds ``first``."""
    (found,) = [text for _, _, text in blocks(path) if first in text.splitlines()[0]]
    return found
