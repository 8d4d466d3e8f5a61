"""Code that a run's folder names: what is shipped is run as it is, all else only where the user names it again.

A run's folder may come from anybody, and says which policy it was made from and for which target. The first is Python
code. The second, where it is a file, has flags of a compiler in it, which can load code too. Neither is reached on the
folder's word alone. See docs/security.md.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.errors import SecateurError, UsageError
from secateur.policy.load import shipped_policies
from secateur.target.target import list_targets


def policy_of_run(run: Path, request: Mapping[str, Any], named: str | None) -> str:
    """What ``policy.load`` is to be given for a run's original.

    Args:
        run: its folder.
        request: what it was asked for, as its folder says.
        named: the policy that the user names; None for none.

    Raises:
        UsageError: it is none of the shipped ones, and the user names none.
    """
    if named is not None:
        return named
    recorded = _recorded(run, request, "policy")
    for folder in shipped_policies():
        if recorded == folder.name or Path(recorded).resolve() == folder.resolve():
            return str(folder)
    raise UsageError(
        "code that a run's folder names is run where it is named on the command line too",
        f"{run} was made from {recorded}, which secateur does not ship",
        f"If you trust that code, add --policy {shlex.quote(recorded)}.",
    )


def target_of_run(run: Path, request: Mapping[str, Any], named: str | None) -> str:
    """What ``target.load_any`` is to be given for the target that a run was made for.

    Args:
        run: its folder.
        request: what it was asked for, as its folder says.
        named: the target that the user names; None for none.

    Raises:
        UsageError: it is none of the shipped ones, and the user names none; or names another.
    """
    recorded = _recorded(run, request, "target")
    if recorded in list_targets():
        if named not in (None, recorded):
            raise UsageError(
                "a run has its target",
                f"--target {named} was given, {run} is for {recorded}",
                "Leave --target out, or name a policy.",
            )
        return recorded
    if named is None:
        raise UsageError(
            "a target that a run's folder names by its file is read where it is named on the command line too",
            f"{run} was made for {recorded}, which secateur does not ship",
            f"If you trust that file, add --target {shlex.quote(recorded)}.",
        )
    return named


def _recorded(run: Path, request: Mapping[str, Any], key: str) -> str:
    try:
        return str(request[key])
    except KeyError:
        raise SecateurError(
            f"a run says which {key} it was asked for", f"{run} does not", "Run it again into a new folder."
        ) from None
