"""Files of a run that its page is drawn from, beside ``summary.json``: read here, whichever of them there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.errors import SecateurError
from secateur.runfolder import read_document

FIGURES, VERIFICATION = "figures.json", "verify.json"
FILM, STILL = "film.webp", "film_still.webp"
KEPT = (FIGURES, FILM, STILL)
"""What a run keeps for its page."""


@dataclass(frozen=True)
class Kept:
    """What was found.

    Attributes:
        figures: of ``figures.json``; empty where there is none.
        film, still: WebP, moving and not; None where there is none.
        verification: of ``verify.json``, which ``secateur verify`` writes; empty where it was not run.
    """

    figures: Mapping[str, Any] = field(default_factory=dict)
    film: bytes | None = None
    still: bytes | None = None
    verification: Mapping[str, Any] = field(default_factory=dict)


NOTHING = Kept()


def load_figures(folder: Path, verification: Path | None = None) -> Kept:
    """Reads what there is in a run's folder.

    Args:
        folder: of the run, or of the stage that drew its figures.
        verification: another place of ``verify.json``; by default it is looked for in the folder.

    Raises:
        SecateurError: a file that is there and is not what it should be, or ``verification`` is missing.
    """
    if verification is not None and not verification.is_file():
        raise SecateurError(
            "a verification is a file that secateur verify wrote",
            f"{verification} is none",
            "Correct the path.",
        )
    return Kept(
        _document(folder / FIGURES),
        _bytes(folder / FILM),
        _bytes(folder / STILL),
        _document(verification or folder / VERIFICATION),
    )


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _document(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        document = read_document(path)
    except ValueError as error:
        raise SecateurError(
            "what a page is drawn from is JSON", f"{path}: {error}", "Write it again."
        ) from error
    if not isinstance(document, dict):
        raise SecateurError(
            "what a page is drawn from is an object", f"{path} holds something else", "Write it again."
        )
    return document
