"""Shipped policies on the screen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Column, Table

from secateur.errors import SecateurError, require_known
from secateur.policy.load import load, shipped_policies
from secateur.policy.policy import Policy
from secateur.runfolder import read_document


def describe(folder: Path, policy: Policy) -> dict[str, Any]:
    """A shipped policy as plain data.

    Args:
        folder: with its model card, README.md, and the card's figures, evaluation.json; both may be missing.
        policy: as it is loaded.

    Returns:
        ``name``, ``title``, ``parameters`` by component, ``entries``, ``deployed``, and ``evaluation`` of the shipped
        weights, as the card states it; None where there is none.
    """
    counts = {component.name: 0 for component in policy.components}
    owner = policy.component_of()
    for path, parameter in policy.module.named_parameters():
        counts[owner[path]] += parameter.numel()
    card, figures = folder / "README.md", folder / "evaluation.json"
    runs = read_document(figures) if figures.is_file() else {}
    return {
        "name": folder.name,
        "title": card.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") if card.is_file() else "",
        "parameters": counts,
        "entries": [entry.name for entry in policy.entries],
        "deployed": policy.deployed,
        "evaluation": next(iter(runs.values()), None),
    }


def as_data(name: str | None) -> Any:
    """One of the shipped policies, or a list of all.

    Raises:
        SecateurError: none of that name.
    """
    if name is None:
        return [describe(folder, load(str(folder)).policy) for folder in shipped_policies()]
    folder = _folder(name)
    return describe(folder, load(str(folder)).policy)


def print_policies(name: str | None, console: Console) -> None:
    """The model card of one, or a row each: components, parameters, and what the card says of the deployed entry.

    Raises:
        SecateurError: none of that name.
    """
    if name is not None:
        console.print(Markdown((_folder(name) / "README.md").read_text(encoding="utf-8")))
        return
    named = Column("policy", no_wrap=True)
    table = Table(named, "what it is", "components", "parameters", "return (successes)", box=None)
    for each in as_data(None):
        parts = "\n".join(f"{name} {count:,}" for name, count in each["parameters"].items())
        total = f"{sum(each['parameters'].values()):,}"
        table.add_row(each["name"], each["title"], parts, total, _figures(each))
    console.print(table)


def _folder(name: str) -> Path:
    folders = {folder.name: folder for folder in shipped_policies()}
    require_known("policy", name, folders, SecateurError)
    return folders[name]


def _figures(each: Mapping[str, Any]) -> str:
    run = each["evaluation"]
    row = run.get(each["deployed"]) if run else None
    if not row:
        return "–"
    successes = f" ({row['successes']} of {run['episodes']})" if "successes" in row else ""
    return f"{row['return_mean']:.1f}{successes}"
