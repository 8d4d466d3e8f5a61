"""Pricing by parts gives, in every field and at all widths, what lowering and pricing the whole gives."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sketches import (
    Sketch,
    convolution,
    depthwise,
    linear,
    plus_scalar,
    sketches,
    transposed,
    widths_of,
    with_itself,
)

from secateur.errors import SecateurError
from secateur.operators.lower import RULES, lower
from secateur.target import by_width, parts
from secateur.target.by_width import PriceByWidth
from secateur.target.cost import price
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")


def straight(template, widths, target=TARGET):
    """The whole template at these widths, lowered and priced; parameters of the components as the graph counts them."""
    program = lower(template.at(widths), target.choice)
    owners = {step.label: template.components[step.operators[0]] for step in program.steps}
    cost = price(program, target, owners)
    counts = template.graph.parameter_counts(widths)
    parts = {name: replace(part, parameters=counts[name]) for name, part in cost.components.items()}
    return replace(cost, parameters=sum(counts[name] for name in parts), components=parts)


def outcome(call, *arguments):
    """A cost, or what the refusal says."""
    try:
        return call(*arguments)
    except SecateurError as error:
        return str(error)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_parts_cost_what_the_whole_costs(data):
    template = data.draw(sketches())
    predict = PriceByWidth(template, TARGET)
    for widths in [{}, *(data.draw(widths_of(template)) for _ in range(8))]:
        assert outcome(predict, widths) == outcome(straight, template, widths)


@given(st.data())
@settings(deadline=None, max_examples=20)
def test_one_group_after_the_other(data):
    template = data.draw(sketches())
    predict, widths = PriceByWidth(template, TARGET), dict(template.graph.full)
    for group in template.graph.groups:
        widths[group.name] = data.draw(st.integers(1, group.width))
        assert outcome(predict, widths) == outcome(straight, template, widths)


@pytest.fixture
def lowered(monkeypatch):
    """Grows by the number of operators of each network, whole or part, that is lowered."""
    counts = []

    def watched(original):
        def lowering(network, choice):
            counts.append(len(network.operators))
            return original(network, choice)

        return lowering

    monkeypatch.setattr(by_width, "lower", watched(by_width.lower))
    monkeypatch.setattr(parts, "lower_part", watched(parts.lower_part))
    return counts


def chain(layers: int, width: int = 40):
    sketch = Sketch()
    x = sketch.input(sketch.axis(1), sketch.axis(12))
    for index in range(layers):
        x = linear(sketch, x, sketch.group(width + index % 7), True, -128, 1)
    linear(sketch, x, sketch.axis(3), True, 0, 0)
    return sketch.template()


def test_a_group_lowers_the_layers_it_is_in_and_no_other(lowered):
    predict = PriceByWidth(chain(30), TARGET)
    predict({})
    lowered.clear()
    for width in (7, 20, 7):
        predict({"group4": width})
    assert lowered == [1, 1] * 2
    lowered.clear()
    predict({"group4": 7, "group5": 9})
    assert lowered == [1, 1]  # the layer into group4 was that narrow before
    lowered.clear()
    predict({"group4": 20, "group5": 9})
    assert lowered == [1]  # and the layer out of group5


def test_kernels_for_helium_at_other_widths():
    """Fewer than eight channels: another depthwise kernel."""
    target, sketch = load_target("mps3-an547"), Sketch()
    image = sketch.input(*map(sketch.axis, (1, 4, 5, 3)))
    x = convolution(sketch, image, sketch.group(40), True)
    linear(sketch, transposed(sketch, depthwise(sketch, x)), sketch.group(6), True, -128, 1)
    template = sketch.template()
    predict = PriceByWidth(template, target)
    for channels in (1, 3, 5, 7, 8, 9, 16, 17, 40):
        widths = {"group0": channels}
        assert predict(widths) == straight(template, widths, target)
    program = lower(template.at({"group0": 8}), target.choice)
    assert "depthwise_helium" in [step.kernel for step in program.steps]


def test_other_steps_at_other_widths(lowered):
    """One channel: the transpose moves nothing, and its linear layer reads what the convolution writes."""
    sketch = Sketch()
    image = sketch.input(*map(sketch.axis, (1, 4, 5, 3)))
    x = convolution(sketch, image, sketch.group(9), True)
    linear(sketch, transposed(sketch, depthwise(sketch, x)), sketch.group(6), True, -128, 1)
    template = sketch.template()
    predict = PriceByWidth(template, TARGET)
    kernels = {
        channels: [step.kernel for step in lower(template.at({"group0": channels})).steps]
        for channels in (1, 3, 9)
    }
    assert kernels == {
        1: ["conv_wide", "conv_wide", "fully_connected"],
        3: ["conv", "conv", "move", "fully_connected"],
        9: ["conv", "depthwise_3x3", "move", "fully_connected"],
    }
    for channels in (1, 3, 9, 2, 5):
        assert predict({"group0": channels}) == straight(template, {"group0": channels})
    lowered.clear()
    predict({"group0": 5, "group1": 3})
    assert lowered == [1]
    cost = predict({"group0": 1})
    assert cost.macs == sum(part.macs for part in cost.components.values())
    assert cost.weights_bytes + cost.tables_bytes == sum(
        part.flash_bytes for part in cost.components.values()
    )


def test_work_in_place_that_depends_on_widths():
    sketch = Sketch()
    x = sketch.input(sketch.axis(1), sketch.axis(8))
    wide, scalar = (linear(sketch, x, rows, True, 0, 0) for rows in (sketch.group(6), sketch.axis(1)))
    made = plus_scalar(sketch, wide, scalar)
    linear(sketch, made, sketch.axis(2), True, 0, 0)
    template = sketch.template()
    places = {width: lower(template.at({"group0": width})).steps[2].writes for width in (1, 6)}
    assert places == {6: (1,), 1: (2,)}
    predict = PriceByWidth(template, TARGET)
    for width in (6, 1, 5):
        assert predict({"group0": width}) == straight(template, {"group0": width})


def test_two_names_of_one_buffer_are_priced_whole(lowered):
    sketch = Sketch()
    x = linear(sketch, sketch.input(sketch.axis(1), sketch.axis(8)), sketch.group(6), True, 0, 0)
    linear(sketch, with_itself(sketch, x), sketch.group(4), True, 0, 0)
    template = sketch.template()
    predict = PriceByWidth(template, TARGET)
    for width in (6, 3):
        lowered.clear()
        assert predict({"group0": width}) == straight(template, {"group0": width})
        assert lowered[-1] == len(template.network.operators)


def test_a_rule_that_looks_further_is_priced_whole(monkeypatch, lowered):
    """Costs that depend on what is beside a part are noticed when its structure is met."""
    original = RULES["TANH"]

    def nosy(lowering, index):
        original(lowering, index)
        if lowering.producer(lowering.network.operators[index].inputs[0]) is not None:
            lowering._steps[-1] = replace(lowering._steps[-1], tables_bytes=512)

    monkeypatch.setitem(RULES, "TANH", nosy)
    sketch = Sketch()
    x = linear(sketch, sketch.input(sketch.axis(1), sketch.axis(8)), sketch.group(6), True, 0, 0)
    sketch.operator("TANH", (x,), sketch.shapes[x])
    template = sketch.template()
    predict = PriceByWidth(template, TARGET)
    for width in (6, 3):
        assert predict({"group0": width}) == straight(template, {"group0": width})
        assert predict({"group0": width}).tables_bytes == 512
        assert lowered[-1] == len(template.network.operators)


def test_refusals_are_those_of_the_whole():
    sketch = Sketch()
    one = linear(sketch, x := sketch.input(sketch.axis(1), sketch.axis(8)), sketch.group(6), True, 0, 0)
    other = linear(sketch, x, sketch.group(6), True, 0, 0)
    sketch.operator("ADD", (one, other), sketch.shapes[one])
    predict = PriceByWidth(sketch.template(), TARGET)
    predict({})
    with pytest.raises(
        SecateurError, match=r"ADD that writes 't\d+' makes \(1, 4\) of \(1, 4\) and \(1, 5\)"
    ):
        predict({"group0": 4, "group1": 5})
    assert predict({"group0": 4, "group1": 4}).macs == 2 * 8 * 4


def test_a_hundred_layers_in_well_under_a_millisecond():
    template = chain(100)
    predict = PriceByWidth(template, TARGET)
    predict({})
    narrower = [{"group50": width} for width in range(1, 30)]
    best = min(_seconds(predict, widths) for widths in narrower)
    assert best < 1e-3
    assert best < min(_seconds(predict.whole, widths) for widths in narrower) / 3


def _seconds(call, widths):
    start = time.perf_counter()
    call(widths)
    return time.perf_counter() - start
