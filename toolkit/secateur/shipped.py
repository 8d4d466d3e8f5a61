"""Where the targets and policies that come with secateur are: beside a checkout's toolkit, or inside the wheel."""

from pathlib import Path


def shipped_folder(kind: str) -> Path:
    """The folder of shipped ``targets`` or ``policies``."""
    package = Path(__file__).resolve().parent
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent.parent / kind


def absolute_target(text: str, here: Path = Path()) -> str:
    """A target named so that it does not matter where a process stands: shipped ones by name, others by their path.

    Args:
        text: name or path.
        here: where a relative path begins.
    """
    return str((here / text).absolute()) if text.endswith(".toml") or "/" in text else text
