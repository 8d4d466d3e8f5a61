"""From what the user names (a shipped policy, a folder, ``module:function``) to a Policy and its Task."""

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from secateur.errors import SecateurError
from secateur.policy.policy import Policy, Task
from secateur.shipped import shipped_folder

CODE = (".py", ".xml", ".json", ".toml")
"""Files of a policy's folder that decide what it does, beside its weights."""


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
    module = _import_folder(folder.resolve())
    if not hasattr(module, "policy"):
        raise SecateurError("policy.py defines policy()", f"{folder / 'policy.py'} does not", "Add it.")
    policy = module.policy()
    task = module.task() if hasattr(module, "task") else None
    return _checked(policy, task, str(reference), sorted(p for p in folder.rglob("*") if p.suffix in CODE))


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
    made = function()
    policy, task = made if isinstance(made, tuple) else (made, None)
    return _checked(policy, task, reference, [Path(module.__file__)] if module.__file__ else [])


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


def _import_folder(folder: Path) -> ModuleType:
    """Imports the folder as a package of its own name, so that its files can import each other relatively."""
    package = f"secateur_policy_{folder.name}_{sha256(str(folder).encode()).hexdigest()[:8]}"
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(folder)]
        sys.modules[package] = parent
    return importlib.import_module(f"{package}.policy")
