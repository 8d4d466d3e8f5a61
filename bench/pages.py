"""Pages with parts that are made: what stands between a pair of markers is written over."""

import re
from collections.abc import Iterable, Sequence


def replaced(text: str, marker: str, content: str) -> str:
    """The text with what stands between a pair of markers replaced."""
    pattern = rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{content}\n{m[2]}", text, flags=re.DOTALL)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Heads and rows as Markdown."""
    first, *others = (
        "| " + "".join(f"{cell} | " if cell != "" else "| " for cell in cells).rstrip()
        for cells in (heads, *rows)
    )
    return "\n".join([first, "|---" * len(heads) + "|", *others])
