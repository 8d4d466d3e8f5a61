"""The region of attraction, explored where it is known: discs and ellipses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.simulate.displaced import Coordinate
from secateur.verify.region import (
    COARSE,
    OF_A_TRIANGLE,
    STARTS,
    areas,
    explore,
    grid,
    is_inside,
    share_inside,
    summarise,
    triangles,
)

FINE = np.array(grid(161))


def ellipse(generator):
    """A function of places ``[n, 2]``: whether they are inside."""
    centre, radii = generator.uniform(-0.3, 0.3, 2), generator.uniform(0.3, 0.8, 2)
    angle = generator.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return lambda places: ((((np.asarray(places) - centre) @ turn) / radii) ** 2).sum(axis=-1) < 1


def asked(baseline, artifact=None, log=None):
    """What tries places in two known regions, with two seeds each."""

    def tried(places):
        if log is not None:
            log.append(len(places))
        one, two = baseline(places), (artifact or baseline)(places)
        return [((a, a), (b, b)) for a, b in zip(map(bool, one), map(bool, two))]

    return tried


def drawn(places, inside):
    """The region as it is drawn, on the fine grid: whether each of its places is in a piece that is inside."""
    from scipy.spatial import Delaunay

    mesh = Delaunay(places)
    found = np.maximum(mesh.find_simplex(FINE), 0)
    to_weights = mesh.transform[found]
    two = np.einsum("nij,nj->ni", to_weights[:, :2], FINE - to_weights[:, 2])
    weights = np.column_stack([two, 1 - two.sum(axis=1)])
    return (weights * inside[mesh.simplices[found]]).sum(axis=1) > 0.5


def errors(region, places, inside):
    """Of the area, and the part of the area that is drawn on the wrong side: shares of the region's."""
    truth = region(FINE)
    area, _ = share_inside(places, inside)
    wrong = (drawn(places, inside) != truth).mean()
    return abs(area - truth.mean()) / truth.mean(), wrong / truth.mean()


def test_the_boundary_is_found_more_finely_than_by_a_grid_of_as_many_starts():
    found, gridded = [], []
    even = np.array(grid(7))
    assert len(even) == STARTS
    for seed in range(60):
        region = ellipse(np.random.default_rng(seed))
        starts = explore(asked(region))
        assert len(starts) == STARTS
        places = np.array([start.place for start in starts])
        found.append(errors(region, places, region(places)))
        gridded.append(errors(region, even, region(even)))
    (area, wrong), (area_of_grid, wrong_of_grid) = np.mean(found, axis=0), np.mean(gridded, axis=0)
    assert wrong < 0.75 * wrong_of_grid
    assert area < area_of_grid


@given(st.integers(0, 10**6), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_starts_are_few_apart_within_reach_and_a_function_of_the_answers(one, two):
    first, second = (ellipse(np.random.default_rng(seed)) for seed in (one, two))
    log = []
    starts = explore(asked(first, second, log))
    places = np.array([start.place for start in starts])
    assert log[0] == COARSE**2
    assert sum(log) == len(starts) == STARTS
    assert np.abs(places).max() == 1
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 9 * np.eye(STARTS)
    assert apart.min() > 1 / 128
    assert starts == explore(asked(first, second))
    for region, name in ((first, "baseline"), (second, "artifact")):
        inside = np.array([is_inside(sum(getattr(start, name)), 2) for start in starts])
        assert np.array_equal(inside, region(places))
        share, (low, high) = share_inside(places, inside)
        assert 0 <= low <= share <= high <= 1 + 1e-12


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_triangles_cover_what_was_tried_once(seed):
    places = np.array([*grid(2), *np.random.default_rng(seed).uniform(-1, 1, (20, 2))])
    sizes = areas(places, triangles(places))
    assert (sizes > 0).all()
    assert sizes.sum() == pytest.approx(4)
    everywhere, nowhere = np.ones(len(places), bool), np.zeros(len(places), bool)
    assert share_inside(places, everywhere) == (pytest.approx(1), (pytest.approx(1), pytest.approx(1)))
    assert share_inside(places, nowhere) == (0, (0, pytest.approx(0, abs=1e-12)))


def test_a_half_plane_is_cut_where_it_is():
    places = np.array(grid(3))
    share, (low, high) = share_inside(places, places[:, 0] <= 0)
    assert (share, low, high) == (pytest.approx(0.75), pytest.approx(0.5), pytest.approx(1.0))
    assert list(OF_A_TRIANGLE) == [0, 0.25, 0.75, 1]


def test_where_nothing_differs_the_gaps_are_looked_into():
    starts = explore(asked(lambda places: np.ones(len(places), bool)))
    assert len(starts) == STARTS
    centres = np.array([start.place for start in starts[COARSE**2 :]])
    assert {tuple(place) for place in np.round(np.abs(centres[:8]) * 4).astype(int)} <= {
        (1, 1),
        (1, 3),
        (3, 1),
        (3, 3),
    }


def test_no_triangle_of_a_line():
    assert len(triangles(np.array([(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]))) == 0
    assert len(triangles(np.array([(0.0, 0.0), (0.5, 0.5)]))) == 0


def test_the_document_is_in_units_and_counts_episodes():
    starts = explore(asked(lambda p: np.asarray(p)[:, 0] < 0.1, lambda p: np.asarray(p)[:, 0] < -0.4))
    found = summarise(starts, Coordinate("hinge", 2, 2, "rad", None))
    assert {abs(cell["velocity"]) for cell in found["cells"]} >= {4.0, 2.0, 0.0}
    assert max(cell["position"] for cell in found["cells"]) == 1.0
    lost = [cell for cell in found["cells"] if cell["baseline"] and not cell["artifact"]]
    assert (found["only_original"], found["only_artifact"]) == (2 * len(lost), 0)
    assert found["baseline"]["share"] == pytest.approx(0.55, abs=0.05)
    assert found["artifact"]["share"] == pytest.approx(0.3, abs=0.05)
    assert found["artifact"]["between"][0] <= 0.3 <= found["artifact"]["between"][1]
