"""Which entries run on a robot, and at what rates."""

from dataclasses import replace

import parts_policy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.errors import SecateurError
from secateur.policy.parts import outside_inputs, part_names, parts_of, require_one_rate
from secateur.policy.policy import Component, Entry, Policy
from secateur.records import Part


class Chain(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(count))


def chain(rates, feeds):
    """Entry ``e<i>`` runs layer i at rates[i] and is fed by the entries feeds[i]."""

    def entry(i):
        def call(module, **inputs):
            return module.layers[i](sum(inputs.values()))

        names = ["seen", *(f"x{j}" for j in feeds[i])]
        return Entry(
            f"e{i}", call, {n: torch.zeros(1, 2) for n in names}, {f"x{j}": (f"e{j}",) for j in feeds[i]}
        )

    components = tuple(Component(f"c{i}", (f"layers.{i}",), rate) for i, rate in enumerate(rates))
    entries = tuple(entry(i) for i in range(len(rates)))
    return Policy("chain", Chain(len(rates)).eval(), components, entries, deployed=f"e{len(rates) - 1}")


@st.composite
def chains(draw):
    count = draw(st.integers(1, 5))
    periods = [draw(st.integers(1, 12)) for _ in range(count - 1)] + [1]
    feeds = [draw(st.sets(st.integers(0, i - 1))) if i else set() for i in range(count)]
    return periods, feeds


@given(chains(), st.sampled_from([50.0, 100.0, 240.0, 333.0]))
def test_parts_are_what_feeds_the_deployed_entry_each_at_the_rate_of_its_components(drawn, control_hz):
    periods, feeds = drawn
    policy = chain([control_hz / p if p > 1 else None for p in periods], feeds)
    wanted, new = {len(periods) - 1}, [len(periods) - 1]
    while new:
        found = feeds[new.pop()] - wanted
        wanted |= found
        new += found
    parts = parts_of(policy, control_hz)
    assert {part.name for part in parts} == {f"e{i}" for i in wanted}
    place = {part.name: i for i, part in enumerate(parts)}
    for part in parts:
        number = int(part.name[1:])
        assert part.period == periods[number]
        assert part.fed == {f"x{j}": (f"e{j}", f"e{j}") for j in feeds[number]}
        assert all(place[source] < place[part.name] for source, _ in part.fed.values())
    assert part_names(policy) == tuple(part.name for part in parts)
    assert set(outside_inputs(policy)) == {"seen"}


def test_the_camera_policy_has_two_parts_and_an_estimate_that_stays_behind():
    policy = parts_policy.policy()
    assert parts_of(policy, 100.0) == (Part("see", 4), Part("act", 1, {"features": ("see", "see")}))
    assert set(outside_inputs(policy)) == {"image", "joints"}
    assert [p.period for p in parts_of(parts_policy.policy(None), 100.0)] == [1, 1]


def components(policy, **rates):
    return replace(
        policy, components=tuple(replace(c, rate_hz=rates.get(c.name, c.rate_hz)) for c in policy.components)
    )


def entries(policy, *changed):
    new = {entry.name: entry for entry in changed}
    return replace(policy, entries=tuple(new.get(e.name, e) for e in policy.entries))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: components(p, perception=30.0), "whole fraction .* 30 Hz.* 100 Hz.*25 Hz"),
        (lambda p: components(p, perception=200.0), "whole fraction"),
        (lambda p: components(p, head=50.0), "one rate.*fusion at 100 Hz, head at 50 Hz"),
        (
            lambda p: components(p, head=50.0, fusion=50.0, proprioception=50.0),
            "control rate.*act runs at 50 Hz",
        ),
        (
            lambda p: entries(p, replace(p.entry("act"), feeds={"features": ("see", "estimate")})),
            "from one entry.*see and estimate",
        ),
        (
            lambda p: entries(p, replace(p.entry("see"), feeds={"image": ("act",)})),
            "one direction.*act → see → act",
        ),
        (
            lambda p: entries(
                p, replace(p.entry("act"), feeds={"features": ("see",), "joints": ("act.action",)})
            ),
            "remembers",
        ),
    ],
    ids=["no whole fraction", "faster", "two rates", "slow head", "two sources", "circle", "memory"],
)
def test_what_is_no_policy_in_parts_is_refused(change, words):
    with pytest.raises(SecateurError, match=words):
        parts_of(change(parts_policy.policy()), 100.0)


def test_a_policy_in_one_part_runs_at_one_rate():
    one = chain([25.0], [set()])
    assert parts_of(one, 25.0) == parts_of(one, 100.0) == (Part("e0"),)
    often = replace(one, entries=(replace(one.entries[0], calls_per_step=3, batch=2), *one.entries[1:]))
    assert parts_of(often, 25.0) == (Part("e0", calls=6),)
    require_one_rate(one, 25.0)
    with pytest.raises(SecateurError, match="entry of their own"):
        require_one_rate(one, 100.0)


def test_the_module_is_left_in_the_mode_that_it_was_in():
    policy = parts_policy.policy()
    policy.module.train()
    parts_of(policy, 100.0)
    assert all(part.training for part in policy.module.modules())
