"""What an export wrote, on the screen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.target.patches import in_words


def in_lines(manifest: Mapping[str, Any], output: Path) -> str:
    """Its files, what of it goes by patches, and how it is run, from the manifest of ``export``."""
    lines = [f"{output} holds {', '.join(manifest['files'])}"]
    lines += [in_words(manifest["patches"])] if manifest["patches"] else []
    lines += [f"Run it: {manifest['run']}"] if manifest["run"] else []
    return "\n".join(lines)
