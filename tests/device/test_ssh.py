"""Benchmarks over ssh, against a real OpenSSH server on loopback: what works, and everything that can go wrong."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from openssh import Server, needs_sshd
from tflite_networks import Layer, network

from secateur.device import timing
from secateur.device.ssh import Ssh, parse_ssh
from secateur.device.timing import Effort, Timed, time_models
from secateur.errors import SecateurError, UsageError
from secateur.export.litert import drawn_inputs, signatures
from secateur.litert.bench import bench_computers
from secateur.target.target import load_any

MODEL = network(6, [Layer(17, activation=1, zero_point=-128), Layer(3, tail=("TANH",))], 0)
QUICK = Effort(min_calls=100, max_calls=200, warmup_s=0.01, max_s=0.5)
LONG = dataclasses.replace(QUICK, warmup_s=60.0)

pytestmark = needs_sshd


@pytest.fixture
def server(tmp_path, monkeypatch):
    running = Server(tmp_path / "server")
    monkeypatch.setenv("SECATEUR_SSH", running.command)
    yield running
    running.stop()


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(MODEL)
    return path


def measure(server, effort=QUICK):
    name = signatures(MODEL)[0]
    timed = Timed("model", MODEL, name, drawn_inputs(MODEL, name, 16))
    return time_models(parse_ssh(server.address), [timed], effort)


def refusal(server, effort=QUICK):
    with pytest.raises(SecateurError) as caught:
        measure(server, effort)
    assert server.left_behind() == []
    return str(caught.value)


def bench(model, devices, target=None, force=False):
    return bench_computers(str(model), target, devices, QUICK, 0.5, force, lambda *_: None)


def test_two_devices_in_one_command(server, model):
    found = bench(model, [server.address, "host"])
    assert [device["device"] for device in found["devices"]] == [server.address, "host"]
    for device in found["devices"]:
        (measured,) = device["models"]
        call = measured["call"]
        assert 0 < call["min_s"] <= call["p50_s"] <= call["p90_s"] <= call["p99_s"] <= call["max_s"]
        assert measured["held_hz"] == pytest.approx(0.5 / call["p99_s"])
        assert measured["peak_rss_bytes"] > 2**20
        assert 0 < measured["cold_start_s"] < 60
        assert measured["against_host"] == {"calls": 16, "mismatched_bytes": 0, "max_abs_difference": 0.0}
        assert measured["library"] in ("ai_edge_litert", "tflite_runtime")
        assert device["machine"]["architecture"] == os.uname().machine
    assert server.left_behind() == []


def test_one_table_and_what_failed(server, model):
    address = server.address.replace(f":{server.port}", ":1")
    command = [sys.executable, "-m", "secateur.cli", "bench", str(model), "--device", server.address]
    command += ["--device", address, "--max-time", "500ms"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "model.tflite" in done.stdout
    assert f"{address}: failed: the device can be reached with ssh" in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert ["error" in device for device in json.loads(done.stdout)["devices"]] == [False, True]


def test_unknown_host_is_refused_with_its_fingerprint(server):
    server.known_hosts(None)
    message = refusal(server)
    assert "is not in known_hosts" in message
    assert server.fingerprint() in message
    assert (server.folder / "known_hosts").read_text() == ""


def test_a_configuration_that_accepts_anyone_does_not_count(server):
    server.known_hosts(None)
    config = server.folder / "client_config"
    config.write_text("StrictHostKeyChecking no\n" + config.read_text())
    assert server.fingerprint() in refusal(server)


def test_changed_host_key(server):
    server.known_hosts("stranger")
    message = refusal(server)
    assert "shows another" in message
    assert server.fingerprint() in message


def test_key_that_is_not_let_in(server):
    server.client("stranger")
    assert "lets you in with a key" in refusal(server)


def test_nobody_there(server):
    server.stop()
    assert "can be reached with ssh" in refusal(server)


def test_remote_without_python(server):
    (server.commands / "python3").unlink()
    assert "the device has Python 3" in refusal(server)


def test_remote_without_numpy(server, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    server.script("python3", f'unset PYTHONPATH\nexec {tmp_path / "bare" / "bin" / "python"} "$@"')
    message = refusal(server)
    assert "the device has numpy" in message
    assert "No module named 'numpy'" in message


def test_remote_without_a_runtime(server, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "numpy.py").write_text("")
    python = tmp_path / "bare" / "bin" / "python"
    server.script("python3", f'PYTHONPATH={tmp_path / "modules"} exec {python} "$@"')
    assert "has ai-edge-litert or tflite-runtime" in refusal(server)


def test_python_can_be_named(server, tmp_path):
    (server.commands / "python3").rename(tmp_path / "python-of-mine")
    plain = server.address.removesuffix(str(server.commands / "python3"))
    named = parse_ssh(f"{plain}{tmp_path / 'python-of-mine'}")
    name = signatures(MODEL)[0]
    timed = Timed("model", MODEL, name, drawn_inputs(MODEL, name, 16))
    assert time_models(named, [timed], QUICK)["models"][0]["calls"] >= 100


def test_full_disk(server):
    server.script("python3", f'ulimit -f 4\nexec {sys.executable} "$@"')
    message = refusal(server)
    assert "has room for the models" in message
    assert str(server.temporary) in message


def test_wrong_architecture(server, model):
    target = load_any("raspberry-pi-4b").model_copy(update={"architecture": "riscv64"})
    with pytest.raises(SecateurError, match="riscv64"):
        bench(model, [server.address], target)


def test_stale_runner(server, monkeypatch):
    monkeypatch.setattr(timing, "PROTOCOL", 0)
    assert "is the one that was sent" in refusal(server)


def test_throttled_device(server, model):
    server.script("vcgencmd", "echo throttled=0x50004")
    with pytest.raises(SecateurError, match="was throttled") as caught:
        bench(model, [server.address])
    assert "--force" in str(caught.value)
    assert bench(model, [server.address], force=True)["devices"][0]["throttled"] is True


def test_throttled_before_but_not_now(server, model):
    server.script("vcgencmd", "echo throttled=0x50000")
    assert bench(model, [server.address])["devices"][0]["throttled"] is False


def test_link_that_drops(server):
    dropper = threading.Thread(target=lambda: (server.wait_for_run(), server.drop()))
    dropper.start()
    message = refusal(server, LONG)
    dropper.join()
    assert "the link holds while the device measures" in message


def test_interrupted(server, model):
    command = [sys.executable, "-m", "secateur.cli", "bench", str(model), "--device", server.address]
    process = subprocess.Popen([*command, "--max-time", "60s", "--confidence", "99%"], stderr=subprocess.PIPE)
    while not list(server.temporary.glob("secateur-*/model0.tflite")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    assert server.left_behind() == []


def test_what_a_power_cut_left_is_swept(server):
    ended = subprocess.Popen(["true"])
    ended.wait()
    (server.temporary / f"secateur-{ended.pid}-abc").mkdir()
    (server.temporary / "secateur-1-of-a-living-process").mkdir()
    measure(server)
    assert [path.name for path in server.temporary.iterdir()] == ["secateur-1-of-a-living-process"]


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("ssh://pi@robot", ("robot", "pi", None, "python3")),
        ("ssh://MyRobot:2222", ("MyRobot", None, 2222, "python3")),
        ("ssh://pi@10.0.0.7:22/home/pi/env/bin/python", ("10.0.0.7", "pi", 22, "/home/pi/env/bin/python")),
        ("ssh://[fe80::1]:22", ("fe80::1", None, 22, "python3")),
    ],
)
def test_addresses(address, wanted):
    assert parse_ssh(address) == Ssh(address, *wanted)


@pytest.mark.parametrize(
    "address",
    ["ssh://", "ssh://pi:secret@robot", "ssh://robot:port", "ssh://-oProxyCommand=x", "ssh://-x@robot"],
)
def test_addresses_that_are_none(address):
    with pytest.raises(UsageError):
        parse_ssh(address)
