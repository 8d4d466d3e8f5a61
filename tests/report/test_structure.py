"""What ``inspect`` shows: as data, on the screen, as a page with a picture."""

import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch
from architectures import ARCHITECTURES
from networks import POLICIES, world_model
from rich.console import Console
from torch import nn

from secateur.policy.policy import Component, Entry, Policy
from secateur.prune.analyse import analyse
from secateur.records import ComponentCost, Cost, PartTime, Range
from secateur.report.picture import component_picture
from secateur.report.structure import OnBoard, describe
from secateur.report.structure_html import render_structure
from secateur.report.structure_table import print_structure
from secateur.target.target import load_any, load_target


def described(policy, **also):
    return describe(policy, analyse(policy), **also)


def flow(made, producer, consumer):
    (found,) = [f for f in made["flows"] if (f["producer"], f["consumer"]) == (producer, consumer)]
    return found


def screen(made, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    print_structure(made, console)
    return console.export_text()


def test_components_flows_and_groups_of_a_world_model():
    policy = world_model()
    made = described(policy, control_hz=50.0)
    assert sum(part["parameters"] for part in made["components"]) == sum(
        p.numel() for p in policy.module.parameters()
    )
    encoder = made["components"][0]
    assert encoder["macs"] == {"act": 4 * 9 + 9 * 6, "encode": 4 * 9 + 9 * 6}
    assert encoder["rate_hz"] == 50.0
    assert flow(made, "encoder", "policy") == {
        **{"producer": "encoder", "consumer": "policy", "width": 6},
        **{"shape": [1, 6], "groups": ["encoder.2"]},
    }
    assert flow(made, "policy", "dynamics")["groups"] == []
    assert [(i["input"], i["consumer"], i["width"]) for i in made["inputs"]] == [
        ("observation", "encoder", 4)
    ]
    assert {(o["producer"], o["output"]) for o in made["outputs"]} == {
        *(("policy", "act"), ("reward", "reward"), ("value", "value")),
    }
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_calls_rows_and_rates_are_counted():
    policy = world_model()
    entries = [
        Entry(e.name, e.call, {n: t.expand(3, -1) for n, t in e.example_inputs.items()}, e.feeds, 4, 8)
        for e in policy.entries
    ]
    parts = tuple(
        Component(c.name, c.modules, 10.0 if c.name == "encoder" else None) for c in policy.components
    )
    made = described(Policy("several", policy.module, parts, tuple(entries)), control_hz=50.0)
    assert made["components"][0]["macs"]["act"] == 4 * 9 + 9 * 6
    assert made["components"][0]["macs_per_step"]["act"] == 32 * (4 * 9 + 9 * 6)
    assert [part["rate_hz"] for part in made["components"]] == [10.0, 50.0, 50.0, 50.0, 50.0]
    assert "× 32 a step" in screen(made, 200)


def test_flows_of_images_and_of_mixed_states():
    made = described(POLICIES["camera"]())
    assert flow(made, "perception", "fusion") == {
        **{"producer": "perception", "consumer": "fusion", "width": 16},
        **{"shape": [1, 144], "groups": ["down"]},
    }
    assert flow(described(ARCHITECTURES["gru"]()), "memory", "head")["width"] == 10


def test_members_and_what_a_group_counts():
    made = described(ARCHITECTURES["transformer"]())
    (heads,) = [g for g in made["groups"] if g["name"] == "body.layers.0.self_attn.in_proj_weight"]
    assert heads["counts"] == ["body.layers.0.self_attn.num_heads"]
    packed = [m for m in heads["members"] if m["parameter"].endswith("in_proj_weight")]
    assert [(m["offset"], m["stride"]) for m in packed] == [(0, 4), (16, 4), (32, 4)]


def _cost(latency_s):
    parts = {
        "encoder": ComponentCost(90, 90, 1000, 100, 900, Range(latency_s / 4, latency_s / 2)),
        "policy": ComponentCost(90, 90, 3000, 100, 900, Range(latency_s / 4, latency_s / 2)),
    }
    return Cost(180, 180, 4000, 0, 2000, 300, 100, 1800, Range(latency_s / 2, latency_s), parts)


def test_shares_of_the_board():
    board = load_target("stm32f446re")
    made = described(world_model(), control_hz=100.0, board=OnBoard(board, _cost(2e-3)))
    predicted = made["predicted"]
    assert predicted["flash_share"] == 6000 / board.network_flash_bytes
    assert predicted["time_share"] == pytest.approx(0.2)
    assert predicted["components"]["policy"]["time_share"] == pytest.approx(0.1)
    assert "20.0 %" in screen(made)
    unrated = described(world_model(), board=OnBoard(board, _cost(2e-3)))
    assert unrated["predicted"]["time_share"] is None


def test_shares_of_a_computer():
    """No flash and no instructions; latency and share of the period as on a board, on the screen and as a page."""
    pi = load_any("raspberry-pi-zero-2w")
    cost = replace(
        _cost(2e-3),
        instructions=None,
        components={n: replace(p, instructions=None) for n, p in _cost(2e-3).components.items()},
    )
    made = described(world_model(), control_hz=100.0, board=OnBoard(pi, cost, "float32"))
    predicted = made["predicted"]
    assert predicted["flash_share"] is None
    assert predicted["ram_share"] == 400 / pi.network_ram_bytes
    assert predicted["components"]["policy"]["time_share"] == pytest.approx(0.1)
    text, page = screen(made, 120), render_structure(made)
    for words in (
        "Predicted on raspberry-pi-zero-2w, float32",
        "with the program around it",
        "20.0 %",
        "500 µs–1 ms",
    ):
        assert words in text
        assert words in page
    assert "Instructions" not in text


def test_calls_of_parts_are_counted_once():
    """A cost of several parts has them in it already."""
    entries = tuple(replace(e, calls_per_step=5) for e in world_model().entries)
    policy = replace(world_model(), entries=entries)
    times = tuple(PartTime(name, 0.01, Range(1e-3, 1e-3), 0.0) for name in ("see", "act"))
    cost = replace(_cost(2e-3), parts=times, utilisation=0.3)
    made = described(policy, control_hz=100.0, board=OnBoard(load_target("stm32f446re"), cost))
    assert made["predicted"]["components"]["policy"]["time_share"] == pytest.approx(0.1)
    assert made["predicted"]["time_share"] == 0.3


def test_a_cost_that_is_not_known_says_why():
    made = described(world_model(), board=OnBoard(load_target("stm32f446re"), "operator SORT has no kernel"))
    assert "operator SORT has no kernel" in screen(made)
    assert "operator SORT has no kernel" in render_structure(made)


def test_the_screen_names_everything_in_80_columns():
    made = described(ARCHITECTURES["tdmpc2"]())
    text = screen(made)
    assert max(map(len, text.splitlines())) <= 80
    for group in made["groups"]:
        assert group["name"] in text
    assert "encoder.0.weight[0]" in text  # brackets are no markup
    assert "a softmax runs over it" in " ".join(text.split())


def _wide(count):
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(3, 4 + i % 5) for i in range(count - 1)])
            self.head = nn.Linear(sum(p.out_features for p in self.parts), 2)

        def forward(self, x):
            return self.head(torch.cat([torch.relu(p(x)) for p in self.parts], -1))

    parts = [Component(f"a_component_with_a_long_name_{i}", (f"parts.{i}",)) for i in range(count - 1)]
    return Policy(
        "wide",
        Wide(),
        (*parts, Component("head", ("head",))),
        (Entry("act", Wide.forward, {"x": torch.ones(1, 3)}),),
    )


def _deep(count):
    module = nn.Sequential(*[nn.Linear(5, 5) for _ in range(count)])
    parts = tuple(Component(f"layer{i}", (str(i),)) for i in range(count))
    return Policy("deep", module, parts, (Entry("act", lambda m, x: m(x), {"x": torch.ones(1, 5)}),))


PICTURED = {
    "two": lambda: _wide(2),
    "fifty wide": lambda: _wide(50),
    "fifty deep": lambda: _deep(50),
    "world model": world_model,
    **ARCHITECTURES,
}


@pytest.mark.parametrize("name", PICTURED)
def test_the_picture_is_legible(name):
    made = described(PICTURED[name]())
    svg = ElementTree.fromstring(str(component_picture(made)))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    boxes = []
    for box in svg.findall("g/rect"):
        if box.attrib["class"] != "share":
            boxes.append([float(box.attrib[key]) for key in ("x", "y", "width", "height")])
    assert len(boxes) == len(made["components"]) + len(
        {i["input"] for i in made["inputs"]} | {f"{o['output']} out" for o in made["outputs"]}
    )
    for index, (x, y, w, h) in enumerate(boxes):
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
        for other_x, other_y, other_w, other_h in boxes[:index]:
            apart = x >= other_x + other_w or other_x >= x + w or y >= other_y + other_h or other_y >= y + h
            assert apart
    names = [text.text for text in svg.iter("text") if text.attrib.get("class") == "name"]
    assert len(names) == len(boxes)
    lines = {path.find("title").text for path in svg.findall("path")}
    for each in made["flows"]:
        assert any(line.startswith(f"{each['producer']} → {each['consumer']}:") for line in lines)
    numbers = [text for text in svg.iter("text") if text.attrib.get("class", "").startswith("width")]
    assert all(0 < float(text.attrib["x"]) < width and float(text.attrib["y"]) <= height for text in numbers)


@pytest.mark.parametrize("name", ["two", "world model", "causal"])
def test_the_page_stands_alone(name):
    page = render_structure(described(PICTURED[name]()))
    assert page.count("<svg") == 1
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert "{{" not in page
    for title in ("Component graph", "Components", "Flows", "Pruning groups", "Left whole"):
        assert re.search(f"<h2[^>]*>{title}</h2>", page)
