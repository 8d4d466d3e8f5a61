"""A Ray cluster of two nodes of one CPU each, on this machine."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
"""Ray looks at it when it is imported: so long it waits for a node to be known, on a machine that is busy."""


def _ports() -> dict[str, int]:
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


@contextmanager
def two_nodes(**environment: str) -> Iterator[tuple[Any, Any]]:
    """(the cluster, the node that is not its head); workers import what this process does."""
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **environment,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ |= wanted
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    for turn in range(3):  # Ray gives a node thirty seconds, which a busy machine may need more than
        try:
            head = {**small, **_ports(), "include_dashboard": False}
            started = Cluster(initialize_head=True, head_node_args=head)
            break
        except Exception:
            if turn == 2:
                raise
    try:
        other = started.add_node(**small, **_ports())
        started.wait_for_nodes(timeout=120)
        yield started, other
    finally:
        started.shutdown()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
