"""A linked image as an emulator loads it: what goes where, and the addresses by which it is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from secateur.errors import SecateurError


@dataclass(frozen=True)
class Image:
    """An ELF image.

    Attributes:
        segments: (address, bytes) to load.
        symbols: name → address; of functions without the Thumb bit.
    """

    segments: tuple[tuple[int, bytes], ...]
    symbols: Mapping[str, int]


def load_image(path: Path) -> Image:
    """Read an ELF image.

    Raises:
        SecateurError: not an ELF image with symbols.
    """
    try:
        with BytesIO(path.read_bytes()) as stream:
            elf = ELFFile(stream)
            segments = tuple(
                (int(segment["p_vaddr"]), bytes(segment.data()))
                for segment in elf.iter_segments()
                if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
            )
            table = elf.get_section_by_name(".symtab")
            entries = list(table.iter_symbols()) if isinstance(table, SymbolTableSection) else []
    except (OSError, ELFError) as error:
        raise SecateurError("an image is an ELF file", f"{path}: {error}", "Build it again.") from error
    symbols = {
        entry.name: int(entry["st_value"]) & ~(entry["st_info"]["type"] == "STT_FUNC")
        for entry in entries
        if entry.name and not entry.name.startswith("$")
    }
    return Image(segments, symbols)
