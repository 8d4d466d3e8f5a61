"""Random policies: a cut policy runs on every entry and gives what the masked one gives; others are not touched."""

import torch
from generated import generated, plans
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from masking import assert_cut_equals_masked, random_keep

from secateur.prune.analyse import analyse
from secateur.prune.surgery import cut

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(plans(), st.integers(0, 2**16))
def test_cut_equals_masked(plan, seed):
    policy = generated(plan, seed)
    graph = analyse(policy)
    assert 2 <= len(policy.components) <= 5
    assert not [whole for whole in graph.whole if "written into" in whole.why]
    assert any(group.coupling for group in graph.groups)
    assert_cut_equals_masked(policy, graph, random_keep(graph, seed), tolerance=1e-3)


@SLOW
@given(plans(), st.integers(0, 2**16), st.data())
def test_inner_groups_touch_their_own_component_only(plan, seed, data):
    policy = generated(plan, seed)
    graph = analyse(policy)
    inner = [group for group in graph.groups if not group.coupling]
    component = data.draw(st.sampled_from(sorted({group.components[0] for group in inner})))
    own = {group.name for group in inner if group.components == (component,)}
    keep = {name: kept for name, kept in random_keep(graph, seed).items() if name in own}
    before, after = policy.module.state_dict(), cut(policy, graph, keep).module.state_dict()
    for path, owner in graph.component_of.items():
        if owner != component:
            assert torch.equal(before[path], after[path]), path
