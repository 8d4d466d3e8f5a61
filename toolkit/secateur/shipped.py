"""Where the targets and policies that come with secateur are: beside a checkout's toolkit, or inside the wheel."""

from pathlib import Path


def shipped_folder(kind: str) -> Path:
    """The folder of shipped ``targets`` or ``policies``."""
    package = Path(__file__).resolve().parent
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent.parent / kind
