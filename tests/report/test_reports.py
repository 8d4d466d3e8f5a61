"""One run, shown three ways: JSON, screen, page."""

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console
from sample_run import sample

from secateur.records import Budget, Limits, Measurement, Parity, Range, Verdict
from secateur.report.bars import budget_bars, width_bars
from secateur.report.charts import curve, histogram
from secateur.report.html import render_html
from secateur.report.table import print_summary
from secateur.report.wording import duration, span

SCHEMA = {
    "": "schema policy target strategy seed budget baseline predicted measured parity closed_loop verdict "
    "artifacts wall_s",
    "budget": "flash_bytes ram_bytes latency_s max_return_drop",
    "baseline": "parameters macs flash_bytes ram_bytes latency_s components policy_parameters",
    "predicted": "parameters macs flash_bytes ram_bytes latency_s components policy_parameters",
    "measured": "device flash_bytes ram_bytes stack_bytes instructions latency_s latency_source",
    "parity": "vectors float_max_abs_error int8_mismatched_bytes",
    "closed_loop": "episodes baseline_return_mean artifact_return_mean return_ratio ci95 success_rate "
    "delay_s",
    "verdict": "passed violations",
}
BARE = {
    "measured": None,
    "parity": None,
    "closed_loop": None,
    "widths": (),
    "recovery": (),
    "provenance": None,
    "artifacts": [],
    "budget": Budget(Limits(flash_bytes=16384)),
}
VOID = {"meta", "br", "source", "img"}
CLOSED = {"rect", "line", "polyline", "circle", "path"}


@pytest.mark.parametrize("section", SCHEMA)
def test_the_summary_has_its_schema(section):
    made = sample()[section] if section else sample()
    assert set(SCHEMA[section].split()) <= set(made)


def test_numbers_are_those_of_the_records():
    made = sample()
    assert made["predicted"]["latency_s"] == made["predicted"]["latency_range_s"][1]
    assert made["baseline"]["components"]["encoder"]["parameters"] == 14386
    assert made["measured"]["flash_bytes"] == 7600 + 256 + 4980
    assert made["closed_loop"]["success_ci95"][0] == pytest.approx(0.917, abs=1e-3)
    assert made["budget"]["components"]["policy"]["latency_s"] == 0.8e-3


def test_json_has_no_nan_and_no_numpy():
    made = sample(parity=Parity(np.int64(3), float("nan"), 0, float("inf")), wall_s=np.float32(1.5))
    assert made["parity"] == {
        "vectors": 3,
        "float_max_abs_error": None,
        "int8_mismatched_bytes": 0,
        "int8_max_abs_error": None,
        "largest_output": 1.0,
    }
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert "not a finite number" in screen(made)


def screen(summary, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    print_summary(summary, console)
    return console.export_text()


def test_the_screen_shows_everything_in_80_columns():
    text = screen(sample())
    assert "…" not in text
    for part in ("encoder", "14,386", "475–554 µs", "16.00 KiB", "all bytes equal", "98.8 %"):
        assert part in text
    assert "PASSED" in text


def test_the_screen_lists_violations_and_what_is_missing():
    text = screen(sample(**BARE, verdict=Verdict(("Flash is [bold]9 B.", "RAM too."))))
    assert "FAILED" in text
    assert "• Flash is [bold]9 B." in text
    assert "• RAM too." in text
    assert "Nothing was measured" in text
    assert "Parity was not checked" in text
    assert "the policy has no task" in text


class Page(HTMLParser):
    """Checks that tags are closed, and collects text and whatever is loaded."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.loaded = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs, closed=False):
        named = [(tag, name, value) for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.loaded += [each for each in named if not each[2].startswith(("#", "data:image/webp;base64,"))]
        if tag not in VOID and not closed:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in CLOSED
        self.handle_starttag(tag, attrs, closed=True)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        BARE,
        {"verdict": Verdict(("Flash is 9 B.",))},
        {"budget": Budget(Limits())},
        {"measured": Measurement("host", latency_s=Range(1e-6, 2e-6), latency_source="measured")},
    ],
)
def test_the_page_is_whole_and_loads_nothing(changes):
    page = render_html(sample(**changes))
    parsed = Page(page)
    assert parsed.loaded == []
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert not re.search(r"\bnan\b|Undefined", "".join(parsed.text))
    assert len(page) < 100_000


def test_the_page_says_what_the_run_found():
    text = " ".join(Page(render_html(sample())).text)
    words = ("Passed", "99.0 %", "12.54 KiB", "couples encoder, dynamics", "policy.0", "torch", "2.13.0")
    for part in words:
        assert part in text


def test_names_cannot_inject_markup():
    page = render_html(sample(policy="<script>alert(1)</script>", verdict=Verdict(("<b>x</b>",))))
    assert "<script" not in page
    assert "<b>x</b>" not in page


def test_bars_tell_measured_from_predicted():
    bars = {bar.label: bar for bar in budget_bars(sample())}
    assert bars["Flash"].kind == bars["RAM"].kind == "measured"
    assert bars["Worst-case latency"].kind == "predicted"  # counted instructions are not a clock
    assert bars["Worst-case latency of policy"].kind == "predicted"
    assert not any(bar.over for bar in bars.values())
    assert bars["Flash"].filled < bars["Flash"].mark < 1
    (over,) = budget_bars(sample(budget=Budget(Limits(flash_bytes=100))))
    assert over.over
    assert over.mark < over.filled < 1


def test_width_bars_mark_couplings():
    assert [(bar.group, bar.coupling) for bar in width_bars(sample())][:2] == [
        ("encoder.0", False),
        ("encoder.2", True),
    ]


@pytest.mark.parametrize("returns", [[5.0, 5.0], [-3.0, 0.0], [1e9, 1e9 + 1]])
def test_histograms_of_any_range_are_drawn(returns):
    drawing = str(histogram(returns, returns))
    assert drawing.count("<rect") == 48
    assert "nan" not in drawing


def test_curves_leave_out_what_is_not_a_number():
    assert curve([0, 1], [None, 1.0], "loss") == ""
    assert "nan" not in str(curve([0, 1, 2], [1.0, float("nan"), 3.0], "loss", log=True))
    assert "log scale" not in str(curve([0, 1], [0.0, 1.0], "loss", log=True))
    assert "nan" not in str(curve([0, 1], [1.0, 1.0], "flat"))


def test_spans_of_time():
    assert span((58e-6, 86e-6)) == "58–86 µs"
    assert span((8e-4, 1.2e-3)) == "800 µs–1.2 ms"
    assert span((1e-3, 1e-3)) == "1 ms"
    assert span(None) == "–"
    assert duration(0.0) == "0 s"
