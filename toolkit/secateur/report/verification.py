"""The document of ``secateur verify`` on the screen."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.report.wording import bounds_line, delay_line, duration
from secateur.units import format_bytes, format_seconds

STYLES = {"passed": "bold green", "failed": "bold red", "undecided": "bold yellow"}
WORDS = {"passed": "PASSED", "failed": "FAILED", "undecided": "NOT ENOUGH EVIDENCE"}


def print_verification(document: Mapping[str, Any], console: Console) -> None:
    """Verdict first, then the figures that it rests on."""
    verdict, parts = document["verdict"], document["verification"]
    text = Text(WORDS[verdict["outcome"]], style=STYLES[verdict["outcome"]])
    text.append(f" after {duration(document['wall_s'])}: {document['policy']} on {document['device']}", "")
    console.print(text)
    for sentence in (*verdict["reasons"], *verdict["warnings"]):
        console.print(Text(f"  • {sentence}"), soft_wrap=True)
    console.print("")
    console.print(_test_table(parts["test"]))
    for line in (delay_line(parts["test"]["delay"]), bounds_line(parts["test"])):
        if line:
            console.print(Text(line), soft_wrap=True)
    if parts["stress"]:
        console.print("")
        console.print(_stress_table(parts["stress"]))
        for kind, reason in parts["stress"]["left_out"].items():
            console.print(Text(f"  left out: {kind}, because {reason}"), soft_wrap=True)
    for lines in (
        _deviation(parts["deviation"]),
        _attribution(parts["attribution"]),
        _region(parts["region"]),
    ):
        for line in lines:
            console.print(line, soft_wrap=True)
    memory = document["peak_memory_bytes"]
    console.print(
        Text(
            f"\n{document['processes']} process(es); peak memory {format_bytes(memory['main'])}, "
            f"of the largest with episodes {format_bytes(memory['largest_process'])}."
        )
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(pair: Any) -> str:
    return "–" if pair is None else f"{100 * pair[0]:.1f}–{100 * pair[1]:.1f} %"


def _test_table(test: Mapping[str, Any]) -> Table:
    table = Table(title=f"{test['pairs']} pairs", title_justify="left", box=None, pad_edge=False)
    for column in ("", "original", "artifact", "kept", "95 % interval"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    one, two, kept = test["baseline"], test["artifact"], test["retained"]
    table.add_row(
        "mean return",
        f"{one['return_mean']:.2f}",
        f"{two['return_mean']:.2f}",
        _share(kept["ratio"]),
        _interval(kept["ci95"]),
    )
    table.add_row(
        "interquartile mean",
        f"{one['return_iqm']:.2f}",
        f"{two['return_iqm']:.2f}",
        _share(test["retained_iqm"]),
        "",
    )
    table.add_row("worst", f"{one['return_min']:.2f}", f"{two['return_min']:.2f}", "", "")
    if one["success_rate"] is not None:
        table.add_row(
            "success",
            _share(one["success_rate"]),
            _share(two["success_rate"]),
            "",
            _interval(two["success_ci95"]),
        )
    better = test["improvement"]
    table.add_row("better on a seed", "", _share(better["value"]), "", _interval(better["ci95"]))
    return table


def _stress_table(stress: Mapping[str, Any]) -> Table:
    title = f"Under stress, {stress['pairs']} pairs each; shares of the original's calm return"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("original", "artifact", "kept", "95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in stress["rows"]:
        style = "red" if each["judged"] == "worse" else "yellow" if each["judged"] == "unclear" else ""
        table.add_row(
            each["title"],
            _share(each["baseline_of_calm"]),
            _share(each["artifact_of_calm"]),
            _share(each["ratio"]),
            _interval(each["ci95"]),
            each["judged"] or "no share",
            style=style,
        )
    return table


def _deviation(found: Mapping[str, Any] | None) -> Iterator[Any]:
    if found is None:
        return
    one, two = found["baseline"], found["artifact"]
    parted = found["divergence_median_s"]
    yield Text(
        f"\nActions at what the original saw differ by {found['action_rms']:.3g} (root mean square; at most "
        f"{found['action_max']:.3g}; 1 is the {found['unit']}). In {found['diverged_share']:.0%} of "
        f"{found['episodes']} episodes their ways part"
        + ("." if parted is None else f", after {format_seconds(parted)} (median).")
    )
    saturated = (
        ""
        if one["saturated_share"] is None
        else f"; at the limit {one['saturated_share']:.1%} and {two['saturated_share']:.1%} of the time"
    )
    if one["change_per_step"] is not None and two["change_per_step"] is not None:
        yield Text(
            f"Original and artifact change their actions by {one['change_per_step']:.3g} and "
            f"{two['change_per_step']:.3g} a step{saturated}; effort {one['effort']:.3g} and {two['effort']:.3g}."
        )


def _attribution(found: Mapping[str, Any] | None) -> Iterator[Any]:
    if found is None:
        return
    title = (
        f"One component of the original replaced at a time, {found['pairs']} pairs each; share of return kept"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    forms = list(dict.fromkeys(row["form"] for row in found["rows"]))
    for column in ("", *forms):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    rows = {(row["component"], row["form"]): row for row in found["rows"]}
    for component in dict.fromkeys(row["component"] for row in found["rows"]):
        cells = [rows[component, form] for form in forms]
        table.add_row(component, *(f"{_share(r['ratio'])}, {_interval(r['ci95'])}" for r in cells))
    yield Text("")
    yield table
    for form, reason in found["left_out"].items():
        yield Text(f"  left out: {form}, because {reason}")


def _region(found: Mapping[str, Any] | None) -> Iterator[Any]:
    if found is None:
        return
    if found["left_out"]:
        yield Text(f"\nNo region of attraction, because {found['left_out']}.")
        return
    yield Text(
        f"\nIn {len(found['cells'])} moved starts of {found['joint']} the original recovers from "
        f"{_share(found['baseline']['share'])} of the area ({_interval(found['baseline']['between'])}, as far as "
        f"starts tell), the artifact from {_share(found['artifact']['share'])} "
        f"({_interval(found['artifact']['between'])}); in {found['only_original']} episodes the original alone "
        f"recovers, in {found['only_artifact']} the artifact alone."
    )
