"""What a budget of one component changes: the arm's widths on a board, as limits on perception and on control tighten.

    python bench/component_budgets.py

No episode is run and nothing is recovered: groups are scored by their weights alone (l2), and widths chosen by
importance. Writes the table of docs/how-it-works.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pages
from torch import Generator

from secateur.budget import parse_budget
from secateur.policy.load import load
from secateur.policy.parts import parts_of
from secateur.pricing import price_of_parts, templates_of_parts
from secateur.prune.allocate import by_importance
from secateur.prune.analyse import analyse
from secateur.prune.importance import Evidence
from secateur.prune.importance.magnitude import l2
from secateur.records import Cost
from secateur.runfolder import write_atomically
from secateur.target.target import load_target
from secateur.units import format_seconds

POLICY, BOARD = "arm_reach_camera", "stm32h743"
PAGE = Path(__file__).parent.parent / "docs" / "how-it-works.md"
PERCEPTION, CONTROL = ("perception.latency=6ms",), ("fusion.latency=40us", "head.latency=25us")
BUDGETS: tuple[tuple[str, ...], ...] = (
    (),
    ("perception.latency=9ms",),
    PERCEPTION,
    CONTROL,
    (*PERCEPTION, *CONTROL),
)


@dataclass(frozen=True)
class Chosen:
    """Widths under a budget, what they are predicted to cost, and the components of each group."""

    budget: tuple[str, ...]
    widths: Mapping[str, int]
    cost: Cost
    components: Mapping[str, tuple[str, ...]]


def measured(budgets: tuple[tuple[str, ...], ...] = BUDGETS) -> list[Chosen]:
    """The choice under each budget; the policy is converted once."""
    loaded = load(POLICY)
    assert loaded.task is not None
    rate_hz, policy, board = loaded.task.control_hz, loaded.policy, load_target(BOARD)
    graph, parts = analyse(policy), parts_of(policy, rate_hz)
    price = price_of_parts(templates_of_parts(policy, graph, parts), policy, parts, rate_hz, board)
    scores = l2(policy, graph, Evidence(policy.entry().example_inputs, Generator()))
    components = {group.name: group.components for group in graph.groups}
    made = []
    for limits in budgets:
        budget = parse_budget(None, None, None, None, limits, "5%")
        widths = by_importance(graph, scores, price, budget)
        made.append(Chosen(limits, widths, price(widths), components))
    return made


def table(made: list[Chosen]) -> str:
    """Groups down, budgets across; a width that the budget left alone in plain, one that it cut in bold."""
    heads = [", ".join(f"`{limit}`" for limit in one.budget) or "no limit" for one in made]
    rows = []
    for name, components in made[0].components.items():
        full = made[0].widths[name]
        cells = [str(w) if (w := one.widths[name]) == full else f"**{w}**" for one in made]
        rows.append([f"`{name}` ({', '.join(components)})", *cells])
    for name in made[0].cost.components:
        times = [format_seconds(one.cost.components[name].latency_s.high) for one in made]
        rows.append([f"{name}, at most", *times])
    return pages.table(["", *heads], rows)


if __name__ == "__main__":
    text = f"```sh\npython bench/component_budgets.py\n```\n\n{table(measured())}\n"
    page = pages.replaced(PAGE.read_text(encoding="utf-8"), "component_budgets", text)
    write_atomically(PAGE, page.encode())
