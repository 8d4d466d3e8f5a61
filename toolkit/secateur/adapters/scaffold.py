"""``secateur init``: a commented ``policy.py`` beside a user's own network, with what was guessed and what was not."""

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from secateur.adapters.guess import Called, guess_components, guess_inputs, methods_of, try_methods
from secateur.adapters.scaffold_text import Found, remarks, text_of
from secateur.errors import SecateurError, UsageError
from secateur.policy.load import import_from, package_of

DTYPES = {"float32": torch.float32, "int64": torch.int64, "int32": torch.int32, "bool": torch.bool}


def parse_input(text: str) -> tuple[str, torch.Tensor]:
    """``camera=1x3x64x64`` or ``mode=1x1:int64`` → name and zeros of that shape and dtype. Raises UsageError."""
    match = re.fullmatch(r"([A-Za-z_]\w*)=([1-9]\d{0,5}(?:x[1-9]\d{0,5}){0,7})(?::(\w+))?", text)
    if match is None or (match[3] or "float32") not in DTYPES:
        raise UsageError(
            f"--input is NAME=SHAPE or NAME=SHAPE:DTYPE, with DTYPE one of {', '.join(DTYPES)}",
            f"got {text!r}",
            "Write for example --input camera=1x3x64x64.",
        )
    return match[1], torch.zeros(tuple(map(int, match[2].split("x"))), dtype=DTYPES[match[3] or "float32"])


def write_policy(source: str, inputs: Sequence[str]) -> list[str]:
    """Writes ``policy.py`` beside a user's module. This runs the module.

    Args:
        source: ``MODULE.py`` or ``MODULE.py:NAME``, NAME a class of networks or a function that gives one.
        inputs: examples, as ``parse_input`` takes them.

    Returns:
        What was guessed and what is left to do, in lines.

    Raises:
        SecateurError: there is a ``policy.py`` already, the module cannot be imported or made, or none of its methods
            runs; nothing is written then.
    """
    given = dict(map(parse_input, inputs))
    path, wanted = _file_of(source)
    target = path.with_name("policy.py")
    _require_absent(target)
    imported, by_plain_names = _import(path)
    name = wanted or _only_class(imported, path)
    module = _made(imported, name, path)
    guesses = guess_components(module)
    if not guesses:
        raise SecateurError("the network has parameters", f"{name} has none", "Name another one.")
    methods = methods_of(module)
    supposed = guess_inputs(module, next(iter(methods.values()))) if methods and not given else {}
    tried = try_methods(module, [guess.component for guess in guesses], {**supposed, **given})
    if not any(isinstance(one, Called) for one in tried):
        reasons = "; ".join(f"{one.method}: {one.why}" for one in tried if not isinstance(one, Called))
        raise SecateurError(
            "a method of the network runs on the inputs that --input gives",
            reasons or f"{name} has no method that takes an input",
            "Give --input NAME=SHAPE for each parameter of one method.",
        )
    found = Found(
        *(path.stem, name, isinstance(getattr(imported, name), type), by_plain_names),
        *(guesses, tuple(tried), {**supposed, **given}, bool(supposed)),
    )
    text = text_of(found)
    _hold(text, target)
    _write_new(target, text.encode())
    return [
        f"Wrote {target}.",
        *remarks(found),
        f"Go on with: secateur inspect {os.path.relpath(path.parent)}",
    ]


def _file_of(source: str) -> tuple[Path, str]:
    match = re.fullmatch(r"(.+\.py)(?::([A-Za-z_]\w*))?", source)
    path = Path(match[1] if match else source).resolve()
    if match is None or not path.is_file() or not path.stem.isidentifier():
        raise SecateurError(
            "the network is named as MODULE.py or MODULE.py:CLASS",
            f"got {source!r}"
            if match is None or path.stem.isidentifier()
            else f"{path.name} cannot be imported",
            "Give the path of a Python file whose name is an identifier.",
        )
    return path, match[2] or ""


def _require_absent(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise SecateurError("nothing is written over a policy.py", f"{target} is there already", "Move it.")


def _import(path: Path) -> tuple[ModuleType, bool]:
    """The user's module, and whether it imports the files beside it by their plain names."""
    for by_plain_names in (False, True):
        if by_plain_names:
            sys.path.insert(0, str(path.parent))
        try:
            importlib.invalidate_caches()
            return import_from(path.parent, path.stem), by_plain_names
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            if by_plain_names or not isinstance(error, ModuleNotFoundError):
                raise SecateurError(
                    "the module can be imported",
                    f"{path.name}: {type(error).__name__}: {' '.join(str(error).split())}",
                    'Mend it; put what trains or parses arguments under if __name__ == "__main__".',
                ) from error
    raise AssertionError


def _only_class(imported: ModuleType, path: Path) -> str:
    own = [
        name
        for name, kind in vars(imported).items()
        if isinstance(kind, type) and issubclass(kind, nn.Module) and kind.__module__ == imported.__name__
    ]
    if len(own) != 1:
        raise SecateurError(
            "the file defines one class of networks, or it is named",
            f"{path.name} defines {', '.join(own) or 'none'}",
            f"Name it: {path.name}:CLASS, or a function without arguments that gives the network.",
        )
    return own[0]


def _made(imported: ModuleType, name: str, path: Path) -> nn.Module:
    try:
        module = getattr(imported, name)()
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise SecateurError(
            f"{name}() of {path.name} makes the network",
            f"{type(error).__name__}: {' '.join(str(error).split())}",
            "Write a function without arguments that gives one, and name it: MODULE.py:FUNCTION.",
        ) from error
    if not isinstance(module, nn.Module):
        raise SecateurError(
            f"{name}() of {path.name} makes a network",
            f"it gives {type(module).__name__}",
            "Name another one.",
        )
    return module


def _hold(text: str, target: Path) -> None:
    """Runs the file before it is written: its policy is whole, and every entry runs."""
    made = ModuleType(f"{package_of(target.parent)}.policy")
    made.__file__, made.__package__ = str(target), package_of(target.parent)
    exec(compile(text, str(target), "exec"), made.__dict__)
    policy = made.policy()
    with torch.no_grad():
        for entry in policy.entries:
            entry.run(policy.module.eval(), entry.example_inputs)


def _write_new(target: Path, data: bytes) -> None:
    """Writes a file, whole or not at all, and never over another."""
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.") as part:
            part.write(data)
            part.flush()
            os.fsync(part.fileno())
            os.chmod(part.name, 0o644)
            os.link(part.name, target)
    except FileExistsError:
        _require_absent(target)
    except OSError as error:
        raise SecateurError(
            "the folder can be written to", f"{target}: {error}", "Copy the module elsewhere."
        ) from error
