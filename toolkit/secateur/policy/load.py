"""From what the user names (a shipped policy, a folder, ``module:function``) to a Policy and its Task."""

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from secateur.errors import SecateurError
from secateur.policy.imported import CODE, files_of
from secateur.policy.policy import Policy, Task
from secateur.runfolder import MANIFEST
from secateur.shipped import shipped_folder


@dataclass(frozen=True)
class Loaded:
    """A policy with the task it does (None where there is none), the name that loads it, and a hash of its code."""

    policy: Policy
    task: Task | None
    reference: str
    code_sha256: str


def shipped_policies() -> tuple[Path, ...]:
    """The folders of the policies that come with secateur."""
    return tuple(sorted(path.parent for path in shipped_folder("policies").glob("*/policy.py")))


def load(reference: str) -> Loaded:
    """Loads the policy that ``reference`` names, on a torch module with its trained weights.

    Args:
        reference: the name of a shipped policy, a folder with ``policy.py``, or ``module:function`` where the
            function gives a Policy, or a (Policy, Task) pair.

    Raises:
        SecateurError: nothing of that name, no ``policy()`` in it, or a policy that breaks its own rules.
    """
    if ":" in reference and not Path(reference).exists():
        return _load_function(reference)
    folder = Path(reference)
    if not (folder / "policy.py").is_file():
        folder = shipped_folder("policies") / reference
    if not (folder / "policy.py").is_file():
        names = ", ".join(path.name for path in shipped_policies())
        raise SecateurError(
            "a policy is a shipped name, a folder with policy.py, or module:function",
            f"got {reference!r}",
            f"Shipped: {names}.",
        )
    if (folder / MANIFEST).is_file():
        raise SecateurError(
            "a folder is a policy's or a run's",
            f"{folder} has policy.py and {MANIFEST}, and no run wrote the first",
            "Take policy.py out of the run's folder, or the manifest out of the policy's.",
        )
    module = _own(reference, "is imported", lambda: import_from(folder.resolve(), "policy"))
    if not hasattr(module, "policy"):
        raise SecateurError("policy.py defines policy()", f"{folder / 'policy.py'} does not", "Add it.")
    policy = _own(reference, "gives a policy", module.policy)
    task = _own(reference, "gives a task", module.task) if hasattr(module, "task") else None
    return _checked(policy, task, str(reference), _code_of(folder.resolve()))


def absolute(reference: str) -> str:
    """The same policy, named so that it does not matter where a process stands."""
    folder = Path(reference)
    return str(folder.absolute()) if (folder / "policy.py").is_file() else reference


def _load_function(reference: str) -> Loaded:
    module_name, _, function_name = reference.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, function_name)
    except (ImportError, AttributeError) as error:
        raise SecateurError(
            "module:function can be imported", f"{reference}: {error}", "Check both names."
        ) from error
    made = _own(reference, "gives a policy", function)
    policy, task = made if isinstance(made, tuple) else (made, None)
    return _checked(
        policy, task, reference, files_of(module_name, Path(module.__file__)) if module.__file__ else []
    )


def _own(reference: str, what: str, call: Callable[[], Any]) -> Any:
    """What a policy's own code gives; whatever it raises, but for our own errors, is one error."""
    try:
        return call()
    except (SecateurError, MemoryError):
        raise
    except Exception as error:
        raise SecateurError(
            f"a policy's own code {what} without an error",
            f"{reference}: {_place(error)}{type(error).__name__}: {error}",
            "Correct it.",
        ) from error


def _place(error: BaseException) -> str:
    """File and line where it was raised; nothing where that is not known."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return f"{Path(last.tb_frame.f_code.co_filename).name}, line {last.tb_lineno}: " if last else ""


def _checked(policy: object, task: object, reference: str, code: list[Path]) -> Loaded:
    if not isinstance(policy, Policy):
        raise SecateurError(
            "policy() gives a secateur Policy",
            f"{reference} gave {type(policy).__name__}",
            "Return Policy(...).",
        )
    if task is not None and not isinstance(task, Task):
        raise SecateurError(
            "task() gives a secateur Task", f"{reference} gave {type(task).__name__}", "Return Task(...)."
        )
    digest = sha256()
    for path in code:
        digest.update(path.name.encode() + path.read_bytes())
    return Loaded(policy, task, reference, digest.hexdigest())


def _code_of(folder: Path) -> list[Path]:
    """The files that decide what a policy does: of its folder, and of folders beside it that it imports from."""
    own = sorted(p for p in folder.rglob("*") if p.suffix in CODE)
    texts = [p.read_text(encoding="utf-8") for p in own if p.suffix == ".py"]
    shared = {name for text in texts for name in re.findall(r"^from \.\.(\w+)", text, re.MULTILINE)}
    return own + [
        p for name in sorted(shared) for p in sorted((folder.parent / name).rglob("*")) if p.suffix in CODE
    ]


def package_of(folder: Path) -> str:
    """Makes a folder a package within a package of the folder around it; gives its name.

    Its files can then import each other relatively (``.model``), and what several policies share from beside them
    (``..tdmpc.model``).
    """
    around = f"secateur_policies_{sha256(str(folder.parent).encode()).hexdigest()[:8]}"
    plain = re.sub(r"[^0-9a-zA-Z_]", "_", folder.name)
    package = f"{around}.{plain}_{sha256(folder.name.encode()).hexdigest()[:8]}"
    for name, path in ((around, folder.parent), (package, folder)):
        if name not in sys.modules:
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__path__ = [str(path)]
    return package


def import_from(folder: Path, name: str) -> ModuleType:
    """Imports one file of a folder, by its name without ``.py``; this runs it."""
    return importlib.import_module(f"{package_of(folder)}.{name}")
