"""One run whose episodes are run here, by two processes, or on a cluster: the same summary, the same proof."""

import json

import pytest
from ray_nodes import two_nodes

from secateur.runfolder import read_finished

pytestmark = pytest.mark.slow

PRUNE = ("prune", "recurrent_policy:gru", "--target", "rp2040", "--flash", "5200B", "--strategy", "uniform")
QUICK = ("--recovery-steps", "16", "--episodes", "10")
VERIFY = (
    "--device",
    "emulator",
    "--episodes",
    "32",
    "--stress",
    "sensor-noise",
    "--stress-pairs",
    "4",
    "--json",
)


def _told(folder):
    """All of a summary that is not of its time or its command line."""
    summary = read_finished(folder)
    del summary["wall_s"], summary["provenance"]["command"]
    summary["artifacts"] = [one for one in summary["artifacts"] if one["path"] != "report.html"]
    return summary


def _proof(out):
    document = json.loads(out)
    for key in ("command", "request", "processes", "peak_memory_bytes", "wall_s"):
        del document[key]
    return document


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run by one process."""
    return tmp_path_factory.mktemp("runs") / "alone"


def _finished(secateur, folder, *options):
    code, _, said = secateur(*PRUNE, *QUICK, *options, "-o", folder)
    assert code in (0, 4), said
    return folder


def test_two_processes_give_the_same_summary(secateur, alone, tmp_path):
    _finished(secateur, alone)
    assert _told(_finished(secateur, tmp_path / "two", "--processes", "2")) == _told(alone)


def test_processes_or_a_cluster_and_not_both(secateur, tmp_path):
    for command in ((*PRUNE, "-o", tmp_path / "run"), ("verify", tmp_path, "--device", "tflm")):
        code, out, said = secateur(*command, "--processes", "2", "--cluster", "auto")
        assert (code, out) == (2, "")
        assert "got --processes and --cluster" in said


@pytest.mark.exhaustive
def test_two_nodes_give_the_same_summary_and_the_same_proof(secateur, alone, tmp_path):
    pytest.importorskip("ray")
    if not alone.exists():
        _finished(secateur, alone)
    code, here, said = secateur("verify", alone, *VERIFY, "--processes", "1", "-o", tmp_path / "here.json")
    assert code in (0, 4), said
    with two_nodes() as (cluster, _):
        address = ("--cluster", cluster.address)
        assert _told(_finished(secateur, tmp_path / "far", *address)) == _told(alone)
        code, there, said = secateur("verify", alone, *VERIFY, *address, "-o", tmp_path / "there.json")
    assert code in (0, 4), said
    assert _proof(there) == _proof(here)
    assert json.loads(there)["processes"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"far", "here.json", "there.json"}
