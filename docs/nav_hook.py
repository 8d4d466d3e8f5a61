"""Fits mkdocs.yml and links to the pages that there are; named under ``hooks`` there."""

import os.path
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Drops pages from the nav that are not there, and writes ``adr/`` out."""
    config.nav = _fitted(config.nav, Path(config.docs_dir))
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Names files of the repository that are no pages, where a checkout has links to them."""
    root, here = Path(config.docs_dir).parent, Path(config.docs_dir, page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(here / link[2]))
        if path.is_relative_to(config.docs_dir) or not path.exists():
            return link[0]
        name = path.relative_to(root).as_posix()
        return link[1] if name in link[1] else f"{link[1]} (`{name}`)"

    return _LINK.sub(named, markdown)


def _fitted(entries: list[Any], docs: Path) -> list[Any]:
    kept: list[Any] = []
    for entry in entries:
        ((title, value),) = entry.items()
        if isinstance(value, list):
            value = _fitted(value, docs)
        elif value.endswith("/"):
            value = [f"{value}{path.name}" for path in sorted((docs / value).glob("*.md"))]
        elif not (docs / value).is_file():
            continue
        if value:
            kept.append({title: value})
    return kept
