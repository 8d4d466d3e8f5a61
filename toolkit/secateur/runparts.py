"""How the parts of a policy are named, and stated, in a run's folder."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from secateur.errors import SecateurError
from secateur.records import ALONE, Part
from secateur.runfolder import read_document, to_json

PARTS = "parts.json"


def stems(parts: Sequence[Part]) -> dict[str, str]:
    """Part → what its files' names begin with: ``model`` where there is one part, else the part's own name."""
    return {
        part.name: "model" if len(parts) == 1 else re.sub(r"[^A-Za-z0-9_-]+", "_", part.name)
        for part in parts
    }


def golden_file(stem: str) -> str:
    """Where the golden vectors of a part are, by what its files' names begin with."""
    return "golden.npz" if stem == "model" else f"{stem}.golden.npz"


def parts_json(parts: Sequence[Part]) -> bytes:
    """The parts of a run's policy as its folder states them, in the order in which they run."""
    return to_json([{**asdict(part), "fed": {k: list(v) for k, v in part.fed.items()}} for part in parts])


def parts_of_run(folder: Path) -> tuple[Part, ...]:
    """The parts of a finished run; one where it does not name several.

    Raises:
        SecateurError: a file that no run wrote.
    """
    path = folder / PARTS
    if not path.is_file():
        return ALONE
    try:
        parts = tuple(
            Part(
                str(p["name"]),
                int(p["period"]),
                {k: (str(a), str(b)) for k, (a, b) in p["fed"].items()},
                int(p.get("calls", 1)),  # earlier runs do not say
            )
            for p in read_document(path)
        )
        if not parts or any(part.period < 1 or part.calls < 1 for part in parts):
            raise ValueError("a part runs once in one or more control steps, and there is one or more")
        return parts
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SecateurError(
            "a run states its parts", f"{path}: {error}", "Run it again into a new folder."
        ) from error
