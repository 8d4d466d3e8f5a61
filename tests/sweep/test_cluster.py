"""A Ray cluster of two nodes on this machine: the same runs, a node that goes away, and nodes that are refused."""

import threading
import time

import pytest
from errands import errand, pretend
from ray_nodes import two_nodes

from secateur.errors import SecateurError
from secateur.sweep.engine import cluster

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture
def nodes():
    """(a fresh cluster, the node to kill)."""
    with two_nodes() as both:
        yield both
        ray.shutdown()


def test_two_nodes_carry_out_what_processes_do(nodes, tmp_path):
    started, _ = nodes
    kinds = ["slow", "aborts", *["slow"] * 8]
    with cluster(started.address, tmp_path) as engine:
        assert engine.workers == 2
        engine.carry = pretend
        ended = sorted(
            engine.outcomes([errand(tmp_path, n, kind) for n, kind in enumerate(kinds)]),
            key=lambda o: o.number,
        )
    assert [one.number for one in ended] == list(range(10))
    assert [one.status for one in ended if one.number != 1] == ["passed", *["passed", "failed"] * 4]
    assert ended[1].status == "crashed"
    assert len({one.worker for one in ended if one.worker}) >= 2


def test_a_node_killed_in_mid_sweep_loses_no_run(nodes, tmp_path, capsys):
    started, other = nodes
    capsys.readouterr()
    with cluster(started.address, tmp_path) as engine:
        engine.carry = pretend
        landed = []

        def kill():
            while len(landed) < 4:
                time.sleep(0.05)
            started.remove_node(other, allow_graceful=False)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        for outcome in engine.outcomes([errand(tmp_path, n, "slow") for n in range(20)]):
            landed.append(outcome)
        killer.join()
    assert capsys.readouterr().out == ""  # where Ray would say that a node died
    assert sorted(one.number for one in landed) == list(range(20))
    assert {one.status for one in landed} == {"passed", "failed"}


def test_a_node_that_does_not_see_the_folder_is_refused(nodes, tmp_path):
    started, _ = nodes
    with (
        pytest.raises(SecateurError, match="sees no"),
        cluster(started.address, tmp_path / "elsewhere"),
    ):
        pass


def test_no_cluster_is_one_error(tmp_path):
    with pytest.raises(SecateurError, match="the cluster answers"), cluster("127.0.0.1:1", tmp_path):
        pass
