"""Golden vectors: inputs with the outputs that every form of the network must give for them.

The file is a plain ``.npz`` (numpy arrays, no pickles); its entries are named ``kind/tensor``:

    inputs/<name>            float32 ``[n, ...]``, as the task gives them
    torch/<name>             float32 ``[n, ...]``, what the module answers
    quantized_inputs/<name>  int8 or int16 ``[n, ...]``, the same inputs as the int8 .tflite takes them
    quantized/<name>         int8 or int16 ``[n, ...]``, what the int8 .tflite answers in TFLM

and ``starts``, int64, of a recurrent policy: its rows are episodes, step by step and one after the other, and these are
the rows that they begin with, from states of zero. Its ``inputs`` hold the states that the module in torch has at each
row; ``quantized_inputs`` do not, because whatever runs the .tflite keeps its own.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from secateur.errors import SecateurError
from secateur.runfolder import write_atomically

Arrays = Mapping[str, np.ndarray]

MAX_UNPACKED_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Golden:
    """Name → array ``[n, ...]``, for each of the four kinds; the same n rows in all.

    Attributes:
        inputs: float32.
        torch: outputs of the torch module, float32.
        quantized_inputs: stored integers.
        quantized: outputs of the int8 .tflite in TFLM, stored integers.
        starts: the row that each episode of a recurrent policy begins with; else none.

    Raises:
        SecateurError: arrays of different lengths, or none; or starts that are no rows in ascending order.
    """

    inputs: Arrays
    torch: Arrays
    quantized_inputs: Arrays
    quantized: Arrays
    starts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(array) for kind in _KINDS for array in getattr(self, kind).values()}
        if len(lengths) != 1 or any(not getattr(self, kind) for kind in _KINDS):
            raise SecateurError(
                "golden vectors have the same number of rows in every array of every kind",
                f"rows: {sorted(lengths)}; kinds: {[kind for kind in _KINDS if getattr(self, kind)]}",
                "Make them from one batch of inputs.",
            )
        begins = (-1, *self.starts, self.vectors)
        if self.starts[:1] not in ((), (0,)) or any(one >= two for one, two in pairwise(begins)):
            raise SecateurError(
                "golden vectors of a recurrent policy are episodes in order, the first of which begins at row 0",
                f"episodes begin at {self.starts} of {self.vectors} rows",
                "Make them from the episodes that were run.",
            )

    @property
    def vectors(self) -> int:
        """n, the number of rows."""
        return len(next(iter(self.inputs.values())))


_NOT_ONE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
)
_STARTS = "starts"
_KINDS = tuple(field.name for field in fields(Golden) if field.name != _STARTS)


def save_golden(golden: Golden, path: Path) -> None:
    """Writes the file, whole or not at all."""
    arrays = {f"{kind}/{name}": array for kind in _KINDS for name, array in getattr(golden, kind).items()}
    if golden.starts:
        arrays[_STARTS] = np.array(golden.starts, np.int64)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())


def _require_sensible(archive: Any) -> None:
    """Raises ValueError where an archive would unpack to more than vectors ever are."""
    unpacked = sum(entry.file_size for entry in archive.zip.infolist())
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(f"it unpacks to {unpacked:,} bytes, of at most {MAX_UNPACKED_BYTES:,}")


def load_golden(path: Path) -> Golden:
    """Reads the file, executing nothing. Raises SecateurError where ``save_golden`` did not write it."""
    kinds: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in _KINDS}
    starts: tuple[int, ...] = ()
    try:
        with np.load(path, allow_pickle=False) as archive:
            _require_sensible(archive)
            for key in archive.files:
                if key == _STARTS:
                    starts = tuple(int(row) for row in archive[key])
                    continue
                kind, _, name = key.partition("/")
                kinds[kind][name] = archive[key]
    except _NOT_ONE as error:
        raise SecateurError(
            "golden vectors are an .npz of plain arrays named kind/tensor",
            f"{path}: {error}",
            "Make them again with secateur prune or export.",
        ) from error
    return Golden(**kinds, starts=starts)
