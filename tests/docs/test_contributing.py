"""The worked examples of CONTRIBUTING.md, followed as they are written."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from batches import Batch
from blocks import ROOT, block, blocks
from reference_runtime import run_reference
from tflite_networks import Layer, network

from secateur.device import devices
from secateur.device.devices import open_device
from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.read import read_tflite
from secateur.operators import lower as lowering
from secateur.operators.lower import lower
from secateur.policy.load import load
from secateur.prune.importance import IMPORTANCE
from secateur.report.film import physics_of
from secateur.simulate.controller import torch_controller
from secateur.simulate.dry_run import check_task
from secateur.simulate.rollout import rollouts
from secateur.target.cost import price
from secateur.target.target import load_target

PAGE = ROOT / "CONTRIBUTING.md"
BOARD = load_target("stm32f446re")
MODEL = network(5, [Layer(37, activation=1, zero_point=-128), Layer(2, tail=("TANH",))], 0)


def example(first, **names):
    """The names that a block of Python defines."""
    text = block(PAGE, first)
    exec(compile(text, first, "exec"), names)
    return names


def beside(folder):
    """A module of another folder of tests."""
    path = str(ROOT / "tests" / folder)
    sys.path.insert(0, path)
    try:
        return importlib.import_module(f"test_{'importance' if folder == 'prune' else 'devices'}")
    finally:
        sys.path.remove(path)


def test_each_example_is_a_page_at_most():
    text = PAGE.read_text(encoding="utf-8")
    sections = text.split("\n## ")[1:]
    assert [s.splitlines()[0] for s in sections] == [
        *("A target", "An operator", "An importance criterion", "A device", "An environment")
    ]
    assert all(len(section.splitlines()) <= 90 for section in sections)
    assert max(map(len, text.splitlines())) <= 130
    for _, _, code in blocks(PAGE):
        assert max(map(len, code.splitlines())) <= 115


def test_a_target(tmp_path, secateur):
    path = tmp_path / "stm32f411ce.toml"
    path.write_text(block(PAGE, "# targets/stm32f411ce.toml"))
    board = load_target(path)
    assert (board.core, board.clock_hz, board.ram_bytes) == ("cortex-m4", 100e6, 131072)
    code, printed, _ = secateur("targets", path)
    assert code == 0
    assert "DS10314" in printed
    device = open_device("emulator", MODEL, board, tmp_path)
    inputs = random_inputs(device.network, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(device.run(inputs)["action"], run_reference(MODEL, inputs["observation"]))
    measured, predicted = device.measure(), price(lower(read_tflite(MODEL), board.choice), board)
    assert (measured.weights_bytes, measured.static_ram_bytes) == (
        predicted.weights_bytes,
        predicted.static_ram_bytes,
    )
    device.close()
    path.write_text(path.read_text().replace("ram_bytes", "ramm_bytes", 1))
    with pytest.raises(SecateurError, match="Did you mean ram_bytes"):
        load_target(path)


def test_an_operator(tmp_path, monkeypatch):
    layers = importlib.import_module("single_layers")
    rule = example("operators/depth_to_space/rule.py")["lower_depth_to_space"]
    build = example("tests/operators/single_layers.py", Net=layers.Net)["depth_to_space"]
    assert "DEPTH_TO_SPACE" not in lowering.RULES, "it is there now: take another example"
    monkeypatch.setitem(lowering.RULES, "DEPTH_TO_SPACE", rule)
    models = [build(np.random.default_rng(seed)) for seed in range(4)]
    batch = Batch(models, BOARD, tmp_path)
    for index, model in enumerate(models):
        drawn, device = batch.networks[index], batch.emulator(index)
        ((name, tensor),) = drawn.inputs.items()
        shape = (8, *drawn.tensors[tensor].shape)
        inputs = np.random.default_rng(index).integers(-128, 128, shape, dtype=np.int8)
        expected = run_reference(model, inputs)
        (output,) = device.run({name: inputs[:, 0]}).values()
        np.testing.assert_array_equal(output.reshape(8, -1), expected)
        np.testing.assert_array_equal(batch.run_host(index, inputs), expected)
        predicted, measured = price(lower(drawn, BOARD.choice), BOARD), device.measure()
        assert predicted.static_ram_bytes == batch.sizes(index).static_ram_bytes
        assert abs(predicted.instructions - measured.instructions) <= 0.15 * measured.instructions + 200


def test_an_importance_criterion(monkeypatch):
    conformance = beside("prune")
    monkeypatch.setitem(IMPORTANCE, "strongest", example("prune/importance/strongest.py")["strongest"])
    for name in ("camera", "world model"):
        if name not in conformance.POLICIES:
            continue
        conformance.test_every_channel_has_a_finite_score_that_is_not_negative("strongest", name)
        conformance.test_the_policy_is_left_as_it_was("strongest", name)
        conformance.test_the_same_seed_gives_the_same_scores("strongest", name)
        conformance.test_the_order_of_states_does_not_matter("strongest", name)


def test_a_device(tmp_path, monkeypatch):
    clocked = example("device/clocked.py")["Clocked"]
    opening = "lambda *given: Clocked(_open_host(*given))"
    assert opening in PAGE.read_text(encoding="utf-8")
    names = {"Clocked": clocked, "_open_host": devices._open_host}
    monkeypatch.setitem(devices.DEVICES, "clocked", eval(opening, names))
    conformance = beside("device")
    device = open_device("clocked", MODEL, BOARD, tmp_path)
    conformance.test_protocol(device)
    inputs = random_inputs(device.network, 16, np.random.default_rng(1))
    np.testing.assert_array_equal(device.run(inputs)["action"], run_reference(MODEL, inputs["observation"]))
    measured = device.measure()
    assert measured.latency_source == "measured"
    assert 0 < measured.latency_s.low <= measured.latency_s.high < 1
    device.close()


def test_an_environment(tmp_path, secateur):
    folder = tmp_path / "slider"
    folder.mkdir()
    (folder / "policy.py").write_text(block(PAGE, "slider/policy.py"))
    loaded = load(str(folder))
    check_task(loaded.policy, loaded.task)
    controller = torch_controller(loaded.policy, loaded.task)
    both = rollouts(loaded.task, controller, (3, 4))
    (alone,) = rollouts(loaded.task, controller, (4,))
    np.testing.assert_array_equal(both[1].observations, alone.observations)
    assert alone.length == 100
    assert alone.success is not None
    (late,) = rollouts(loaded.task, controller, (4,), 0.013)
    assert not np.array_equal(late.observations, alone.observations)
    env = loaded.task.make_env()
    assert physics_of(env)[0].nu == 1
    env.close()
    code, printed, _ = secateur("inspect", folder)
    assert code == 0
    assert "head" in printed


@pytest.mark.parametrize("path", ["operators/lower.py", "prune/importance/__init__.py", "device/devices.py"])
def test_the_tables_are_where_they_are_said_to_be(path):
    assert path in PAGE.read_text(encoding="utf-8")
    assert (Path(ROOT) / "toolkit" / "secateur" / path).is_file()
