"""A Ray cluster of two nodes on this machine: the same runs, a node that goes away, and nodes that are refused."""

import os
import socket
import sys
import threading
import time

import pytest
from errands import errand, pretend

from secateur.errors import SecateurError
from secateur.sweep.engine import cluster

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def _ports():
    """Ports that are free, by name: a node that is told them does not wait for its helpers to choose some."""
    names = (
        "metrics_agent_port",
        "runtime_env_agent_port",
        "dashboard_agent_listen_port",
        "metrics_export_port",
    )
    sockets = [socket.socket() for _ in names]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    chosen = {name: one.getsockname()[1] for name, one in zip(names, sockets)}
    for one in sockets:
        one.close()
    return chosen


@pytest.fixture
def nodes(monkeypatch):
    """(address, the node to kill) of a fresh cluster."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "200")
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    head = {**small, **_ports(), "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    other = started.add_node(**small, **_ports())
    started.wait_for_nodes()
    yield started, other
    ray.shutdown()
    started.shutdown()


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


def test_a_node_killed_in_mid_sweep_loses_no_run(nodes, tmp_path):
    started, other = nodes
    with cluster(started.address, tmp_path) as engine:
        engine.carry = pretend
        landed = []

        def kill():
            while len(landed) < 4:
                time.sleep(0.05)
            started.remove_node(other, allow_graceful=False)

        killer = threading.Thread(target=kill)
        killer.start()
        for outcome in engine.outcomes([errand(tmp_path, n, "slow") for n in range(20)]):
            landed.append(outcome)
        killer.join()
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
