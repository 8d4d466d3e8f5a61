"""Which files decide what a module does: its own, and those beside it that it imports or names."""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

CODE = (".py", ".xml", ".json", ".toml")
"""Endings of files that decide what a policy does, beside its weights."""


def files_of(module: str, file: Path) -> list[Path]:
    """A module's file, those that it imports from beside it, and those that these import, sorted.

    What it imports is read off its source, imports within functions too. *Beside it* is below the folder that its name
    starts from; of an installed package, below the package. Files of other kinds (``CODE``) count where a string names
    them, relative to the file it stands in.

    Args:
        module: its dotted name.
        file: of it.
    """
    depth = module.count(".") + (file.name == "__init__.py")
    root = file.resolve().parents[depth]
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib")}
    below = root / module.partition(".")[0] if root in installed else root
    found: set[Path] = set()
    waiting = [file.resolve(), *_modules(root, module.split("."))]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".py":
            waiting += [each for each in _named_in(path, root) if each.is_relative_to(below)]
    return sorted(found)


def _named_in(path: Path, root: Path) -> Iterator[Path]:
    """Files that a source imports or names, as far as they are there."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # whoever imports it is told
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[min(node.level, len(path.parents)) - 1] if node.level else root
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _modules(base, [*parts, alias.name])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(CODE):
            named = path.parent / node.value
            if len(node.value) < 256 and named.is_file():
                yield named.resolve()


def _modules(base: Path, parts: list[str]) -> Iterator[Path]:
    """The files of a module below ``base``, and of the packages that it is in, as far as they are there."""
    for part in parts:
        for path in (base / f"{part}.py", base / part / "__init__.py"):
            if path.is_file():
                yield path.resolve()
        base = base / part
