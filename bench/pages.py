"""Pages with parts that are made: what stands between a pair of markers is written over."""

import re
from collections.abc import Iterable, Sequence


def replaced(text: str, marker: str, content: str) -> str:
    """The text with what stands between a pair of markers replaced."""
    pattern = rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{content}\n{m[2]}", text, flags=re.DOTALL)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Heads and rows as Markdown."""
    lines = (f"| {' | '.join(map(str, cells))} |" for cells in rows)
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines])
