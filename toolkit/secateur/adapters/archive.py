"""Files that others wrote, read without running anything that is in them.

Checkpoints of torch are pickles inside a zip. ``torch.load(weights_only=True)`` rebuilds tensors and plain containers
and refuses every other name in the pickle; sizes are looked at before anything is unpacked, so that a small file cannot
fill the memory.
"""

import io
import json
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from secateur.errors import SecateurError

State = dict[str, torch.Tensor]
"""Path of a parameter or buffer → tensor."""

LARGEST_BYTES = 1 << 30
"""Of all tensors of a checkpoint together; a policy for a small computer is far below."""

LARGEST_TEXT_BYTES = 64 << 20

_MAGIC = b"PK\x03\x04"
"""What a zip begins with."""


def read_file(path: Path, limit: int = LARGEST_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        SecateurError: there is none, or it is larger than ``limit``.
    """
    if not path.is_file():
        raise SecateurError("a checkpoint is a file", f"there is no file {path}", "Correct the path.")
    if (size := path.stat().st_size) > limit:
        raise SecateurError(
            f"a checkpoint has at most {limit:,} B", f"{path} has {size:,}", "Is it another file's path?"
        )
    return path.read_bytes()


def read_member(path: Path, name: str, limit: int) -> bytes:
    """One member of a zip, by its exact name; nothing is written to the disk.

    Raises:
        SecateurError: no zip, no such member, two of that name, damaged, or unpacking to more than ``limit`` bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(path))) as archive:
            found = [member for member in archive.infolist() if member.filename == name]
            if len(found) != 1:
                raise SecateurError(
                    f"the file holds one {name}", f"{path} holds {len(found)}", "Save the model again."
                )
            with archive.open(found[0]) as stream:
                data = stream.read(limit + 1)
    except (
        zipfile.BadZipFile,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        lzma.LZMAError,
        zlib.error,
    ) as error:
        raise _damaged(path, "a whole zip file", error) from error
    if len(data) > limit:
        raise SecateurError(
            f"{name} unpacks to at most {limit:,} B", f"{path}: there is more", "Is it a policy's file?"
        )
    return data


def require_small_unpacked(data: bytes, source: Path, rule: str, what: str, limit: int) -> None:
    """Raises SecateurError where a zip's own table says that it unpacks to more than ``limit`` bytes, or is none.

    Args:
        data: the zip.
        source: where it is from, for messages.
        rule: what it is if it is not damaged.
        what: it holds.
        limit: in bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError) as error:
        raise _damaged(source, rule, error) from error
    if unpacked > limit:
        raise SecateurError(
            f"{what} unpacks to at most {limit:,} B",
            f"{source} unpacks to {unpacked:,}",
            "Is it a policy's file?",
        )


def read_json(data: bytes, source: Path) -> dict[str, Any]:
    """Plain data from JSON whose outermost value is an object."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(source, "whole JSON", error) from error
    if not isinstance(found, dict):
        raise SecateurError(
            "its JSON is an object", f"{source} holds {type(found).__name__}", "Save it again."
        )
    return found


def read_checkpoint(data: bytes, source: Path) -> Any:
    """What ``torch.save`` wrote: tensors in plain containers, on the CPU.

    Raises:
        SecateurError: not torch's zip format, too large once unpacked, damaged, or holding anything but tensors and
            plain data.
    """
    rule = "what torch.save writes since PyTorch 1.6"
    if not data.startswith(_MAGIC):  # torch.load would read such a file in its older format, of any size
        raise _damaged(source, rule, zipfile.BadZipFile("it does not begin as a zip file"))
    require_small_unpacked(data, source, rule, "a checkpoint", LARGEST_BYTES)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SecateurError(
            "a checkpoint holds tensors and plain data only, because a pickle can run code",
            f"{source}: {_line(error)}",
            "Where you trust it, load it yourself and save its state_dict() alone.",
        ) from error
    except Exception as error:  # whatever torch raises at a damaged file
        raise _damaged(source, "a whole checkpoint", error) from error


def state_of(found: Any, source: Path, what: str = "a state dict") -> State:
    """Checks that ``found`` maps names to dense tensors of reasonable size; numbers with a point become float32."""
    if not isinstance(found, Mapping):
        raise SecateurError(f"the file holds {what}", f"{source} holds {type(found).__name__}", "Save it so.")
    state, total = State(), 0
    for name, tensor in found.items():
        if not isinstance(tensor, torch.Tensor):
            continue  # extra state, such as the batch size that tensordict keeps
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
            raise SecateurError(
                "weights are dense tensors of real numbers", f"{source}: {name} is not", "Save them so."
            )
        total += 4 * tensor.numel()
        if total > LARGEST_BYTES:
            raise SecateurError(
                f"all tensors take at most {LARGEST_BYTES:,} B", f"{source}: {name} passes it", "Save less."
            )
        plain = tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
        state[str(name)] = plain.contiguous().clone()
    return state


def under(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    """The part of a state whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _damaged(source: Path, rule: str, error: BaseException) -> SecateurError:
    return SecateurError(f"the file is {rule}", f"{source}: {_line(error)}", "Copy or save it again.")


def read_state(path: Path) -> State:
    """A state dict from ``.safetensors``, or from what ``torch.save`` wrote."""
    data = read_file(path)
    if path.suffix != ".safetensors":
        return state_of(read_checkpoint(data, path), path)
    try:
        return state_of(safetensors.torch.load(data), path)
    except (safetensors.SafetensorError, ValueError) as error:
        raise _damaged(path, "a whole safetensors file", error) from error


def refuse_rest(state: State, known: tuple[str, ...], path: Path) -> None:
    """Raises SecateurError where a name begins with none of those that are known."""
    for name in state:
        if not name.startswith(known):
            raise SecateurError(
                f"the file holds {', '.join(known)} and nothing else",
                f"{path} has {name}",
                "What it computes is not in the file: use secateur init for your class.",
            )
