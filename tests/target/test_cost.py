"""The price of a program: quick, without data, split by component."""

import time
from dataclasses import replace

import pytest
from tflite_networks import Layer, network

from secateur.errors import SecateurError
from secateur.export.read import read_tflite
from secateur.operators.lower import lower
from secateur.target.arena import plan
from secateur.target.cost import instructions_by_kernel, price
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
POLICY = [Layer(37, activation=1, zero_point=-128), Layer(18), Layer(61), Layer(50), Layer(1, tail=("TANH",))]


def shapes_only():
    read = read_tflite(network(5, POLICY, 0))
    return replace(read, tensors=tuple(replace(tensor, data=None) for tensor in read.tensors))


def test_components_add_up():
    program = lower(shapes_only())
    parts = {step.label: "encoder" if step.label in ("fc0", "fc1") else "policy" for step in program.steps}
    cost = price(program, TARGET, parts)
    assert set(cost.components) == {"encoder", "policy"}
    assert cost.parameters == sum(part.parameters for part in cost.components.values()) == 5238 - 22
    assert (
        cost.macs
        == sum(part.macs for part in cost.components.values())
        == 5 * 37 + 37 * 18 + 18 * 61 + 61 * 50 + 50
    )
    assert cost.weights_bytes + cost.tables_bytes == sum(
        part.flash_bytes for part in cost.components.values()
    )
    assert cost.components["encoder"].ram_bytes == plan(program.buffers).live_bytes[1]
    assert cost.static_ram_bytes == max(part.ram_bytes for part in cost.components.values())
    latency, counts = TARGET.latency, instructions_by_kernel(program, TARGET)
    assert sum(counts.values()) == pytest.approx(cost.instructions, abs=1)
    low, high = (
        sum(latency.cycles_per_instruction(kernel)[end] * count for kernel, count in counts.items()) / 180e6
        for end in (0, 1)
    )
    assert (cost.latency_s.low, cost.latency_s.high) == pytest.approx((low, high))


def test_steps_of_no_component_count_in_the_whole_only():
    cost = price(lower(shapes_only()), TARGET, {"fc0": "encoder"})
    assert set(cost.components) == {"encoder"}
    assert cost.components["encoder"].macs < cost.macs


def test_lowering_and_pricing_take_well_under_a_millisecond():
    bare = shapes_only()
    best = min(_seconds(lambda: price(lower(bare), TARGET)) for _ in range(20))
    assert best < 1e-3


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_kernel_without_coefficients():
    bare = replace_kernels(
        TARGET, {name: costs for name, costs in TARGET.kernels.items() if name != "lookup"}
    )
    with pytest.raises(SecateurError, match="lookup"):
        price(lower(shapes_only()), bare)


def replace_kernels(target, kernels):
    return target.model_copy(update={"kernels": kernels})
