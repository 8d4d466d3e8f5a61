"""Our groups against torch-pruning's: where they agree, and where it is wrong."""

import pytest
from networks import POLICIES, world_model

from secateur.errors import SecateurError
from secateur.graph.comprehensive import comprehensive_groups, matching_groups
from secateur.graph.groups import build_graph
from secateur.policy.load import load


@pytest.mark.parametrize(
    "policy", [world_model, lambda: load("tdmpc_cartpole").policy], ids=["small", "shipped"]
)
def test_world_models_have_the_same_groups(policy):
    policy = policy()
    graph = build_graph(policy)
    assert matching_groups(policy, graph) == tuple(graph.full)


def test_torch_pruning_joins_what_a_concatenation_keeps_apart():
    policy = POLICIES["camera"]()
    theirs = comprehensive_groups(policy)
    joined = [g for g in theirs if ("down.weight", 0) in g.members and ("joints.0.weight", 0) in g.members]
    assert joined  # 16 channels of the CNN and 10 joint features in one group
    ours = build_graph(policy).by_name
    assert ours["down"].width == 16
    assert ours["joints.0"].width == 10
    assert not {m.parameter for m in ours["down"].members} & {"joints.0.weight"}


def test_torch_pruning_would_cut_simplices_apart():
    theirs = {
        g.width for g in comprehensive_groups(POLICIES["simnorm"]()) if ("encoder.3.weight", 0) in g.members
    }
    assert theirs == {24}
    assert build_graph(POLICIES["simnorm"]()).by_name["encoder.3"].width == 6


def test_torch_pruning_fails_on_recurrence():
    with pytest.raises(SecateurError, match="IndexError"):
        comprehensive_groups(POLICIES["recurrent"]())
    assert build_graph(POLICIES["recurrent"]()).groups
