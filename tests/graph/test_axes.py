from hypothesis import given
from hypothesis import strategies as st

from secateur.graph import axes


def test_gates_share_one_dim():
    stacked, gates = axes.free(192), [axes.free(64) for _ in range(3)]
    axes.unify(stacked, gates[0] + gates[1] + gates[2])
    axes.unify(gates[0], gates[1])
    axes.unify(gates[1], gates[2])
    segments = axes.normal(stacked)
    assert [axes.segment_size(s) for s in segments] == [64, 64, 64]
    assert len({s[0] for s in segments}) == 1


def test_a_fixed_part_does_not_fix_its_neighbour():
    latent, action = axes.free(50), axes.fixed(1, "from outside")
    columns = axes.free(51)
    axes.unify(columns, latent + action)
    first, second = axes.normal(columns)
    assert not first[0].fixed
    assert second[0].fixed


def test_grouped_latent_goes_in_groups():
    latent, outer, inner = axes.free(48), axes.free(6), axes.free(8)
    axes.unify(latent, axes.product([outer, inner]))
    axes.fix(inner, "a softmax runs over it")
    (segment,) = axes.normal(latent)
    assert [(d.size, d.fixed) for d in segment] == [(6, False), (8, True)]


def test_what_cannot_be_split_is_fixed():
    a, b = axes.free(6), axes.free(10)
    axes.unify(axes.product([a, b]), axes.free(7) + axes.free(53))
    assert all(axes.is_fixed(s) for s in axes.normal(axes.product([a, b])))


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.data(),
)
def test_sizes_survive_any_unification(one, two, data):
    """Cuts at arbitrary places: afterwards both axes still have their size, and agree segment by segment."""
    total = sum(one)
    cuts = [n for n in two]
    while sum(cuts) > total:
        cuts.pop()
    if total - sum(cuts):
        cuts.append(total - sum(cuts))
    left = tuple(s for n in one for s in axes.free(n))
    right = tuple(s for n in cuts for s in axes.free(n))
    axes.unify(left, right)
    a, b = axes.normal(left), axes.normal(right)
    assert axes.size(left) == axes.size(right) == total
    assert [s for s in a if not axes.is_fixed(s)] == [s for s in b if not axes.is_fixed(s)]
