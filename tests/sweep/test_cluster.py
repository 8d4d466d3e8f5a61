"""A Ray cluster of two nodes on this machine: the same runs, a node that goes away, and nodes that are refused."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from errands import errand, pretend
from moving import Pendulum
from ray_nodes import two_nodes

from secateur.cluster import Cluster, connected
from secateur.errors import SecateurError
from secateur.simulate.disturb import Disturbance
from secateur.simulate.parallel import CALM, Conditions, close_all, episodes, paired, whole
from secateur.sweep.engine import outcomes
from secateur.workers import Lost, Raised

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
    kinds = ["meets", "aborts", "raises", "untold", *["slow"] * 6, "meets", "exits"]
    with connected(started.address, tmp_path) as workers:
        assert workers.count == 2
        ended = sorted(
            outcomes(workers, [errand(tmp_path, n, kind, 300.0) for n, kind in enumerate(kinds)], pretend),
            key=lambda o: o.number,
        )
    assert [one.number for one in ended] == list(range(12))
    assert [one.status for one in ended[:4]] == ["passed", "crashed", "error", "error"]
    assert [one.status for one in ended[4:]] == [*["passed", "failed"] * 3, "passed", "error"]
    assert ended[11].message.endswith("SystemExit: 0")
    assert ended[2].message == "ZeroDivisionError: of the worker's own"
    assert "pickle" in ended[3].message
    assert ended[0].worker != ended[10].worker


def test_two_nodes_run_the_episodes_of_this_process(nodes, tmp_path):
    started, _ = nodes
    sides = ((Pendulum(), CALM), (Pendulum(hardest=1.0), Conditions(0.013, (Disturbance("pushes", 0.5),))))
    with connected(started.address, tmp_path) as workers:
        there = paired(sides, range(20), workers, whole)
        with pytest.raises(SecateurError, match="what was seen"):
            episodes(Pendulum(fails="refuses"), range(20), CALM, workers)
    here = paired(sides, range(20), None, whole)
    close_all()
    for one, two in zip(sum(here, ()), sum(there, ()), strict=True):
        np.testing.assert_array_equal(one.observations, two.observations)
        assert one.return_ == two.return_
        assert two.actions.flags.writeable


def test_a_node_killed_in_mid_sweep_loses_no_run(nodes, tmp_path, capsys):
    started, other = nodes
    capsys.readouterr()
    with connected(started.address, tmp_path) as workers:
        landed = []

        def kill():
            while len(landed) < 4:
                time.sleep(0.05)
            started.remove_node(other, allow_graceful=False)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        for outcome in outcomes(workers, [errand(tmp_path, n, "slow") for n in range(20)], pretend):
            landed.append(outcome)
        killer.join()
    assert capsys.readouterr().out == ""  # where Ray would say that a node died
    assert sorted(one.number for one in landed) == list(range(20))
    assert {one.status for one in landed} == {"passed", "failed"}


def test_a_node_that_does_not_see_the_folder_is_refused(nodes, tmp_path):
    started, _ = nodes
    with (
        pytest.raises(SecateurError, match="sees no"),
        connected(started.address, tmp_path / "elsewhere"),
    ):
        pass


def test_no_cluster_is_one_error(tmp_path):
    with pytest.raises(SecateurError, match="the cluster answers"), connected("127.0.0.1:1", tmp_path):
        pass


class Failing:
    """Ray, as it is when things go wrong: ``get`` and ``wait`` raise what they are told to."""

    exceptions = ray.exceptions

    def __init__(self, get=None, wait=None):
        self.raised = {"get": get, "wait": wait}

    def cluster_resources(self):
        return {"CPU": 2}

    def remote(self, function):
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *call: (function, call)))

    def wait(self, references, **_):
        if self.raised["wait"] is not None:
            raise self.raised["wait"]
        return references[:1], references[1:]

    def get(self, reference):
        function, call = reference
        if call[1] == (3,):
            raise self.raised["get"]
        return function(*call)

    def cancel(self, reference, force):
        raise RuntimeError("nothing to cancel")


ERRORS = [
    (ray.exceptions.RaySystemError("no room"), Raised, "RaySystemError: System error: no room"),
    (ray.exceptions.RayTaskError("carry", "at line 3", ValueError("odd")), Raised, "ValueError: odd"),
    (ray.exceptions.WorkerCrashedError(), Lost, "WorkerCrashedError"),
    (ray.exceptions.OutOfMemoryError("full"), Lost, "OutOfMemoryError"),
    (EOFError("half an answer"), Raised, "EOFError: half an answer"),
]


@pytest.mark.parametrize(
    ("error", "kind", "words"), ERRORS, ids=lambda one: getattr(type(one), "__name__", "")
)
def test_what_ray_raises_is_the_end_of_a_call_or_one_error(error, kind, words):
    answers = dict(Cluster(Failing(get=error)).ended(abs, [(n,) for n in range(6)]))
    bad = answers.pop(3)
    assert answers == {n: n for n in (0, 1, 2, 4, 5)}
    assert isinstance(bad, kind)
    assert words in (bad.why if kind is Lost else str(bad.error))
    with pytest.raises(SecateurError, match="the cluster is there until all is done"):
        list(Cluster(Failing(wait=ray.exceptions.RaySystemError("gone"))).ended(abs, [(1,), (2,)]))
