"""What a task's maps are taken for, and what they are not taken for."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.litert.interface import describe_action, describe_inputs, find_map

BOX = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_scaling_picking_shifting_and_clipping_are_found(size, seed):
    generator = np.random.default_rng(seed)
    order = generator.permutation(size)[: generator.integers(1, size + 1)]
    scale, offset = generator.uniform(0.5, 3, len(order)), generator.uniform(-0.1, 0.1, len(order))

    def function(values):
        return np.clip(scale * values[order] + offset, -2.5, 2.5)[None]

    found = find_map(function, np.zeros(size, bool))
    assert found is not None
    assert found.shape == (1, len(order))
    values = generator.normal(0, 3, size)
    np.testing.assert_allclose(found(values), function(values)[0], atol=1e-6)


@pytest.mark.parametrize(
    "to_inputs",
    [
        lambda x: {"x": np.sin(x)},
        lambda x: {"x": x[:2] + x[1:]},
        lambda x: {"x": np.tanh(x)},
        lambda x: {"x": np.abs(x)},
        lambda x: {"x": x / np.linalg.norm(x)},
    ],
)
def test_anything_else_is_not_described(to_inputs):
    assert describe_inputs(to_inputs, BOX) is None


def test_constants_and_discrete_observations():
    described = describe_inputs(lambda x: {"x": x, "goal": np.ones(2)}, BOX)
    assert (described["inputs"]["goal"]["scale"], described["inputs"]["goal"]["offset"]) == (0.0, 1.0)
    assert describe_inputs(lambda x: {"x": np.eye(3)[x]}, gymnasium.spaces.Discrete(3)) is None


def test_actions_of_several_outputs():
    described = describe_action(
        lambda out: np.concatenate([out["arm"][0], 0.5 * out["hand"][0]]), {"hand": (1, 1), "arm": (1, 2)}
    )
    assert described["outputs"] == ["hand", "arm"]
    assert described["index"] == [1, 2, 0]
    assert described["scale"] == pytest.approx([1.0, 1.0, 0.5])
