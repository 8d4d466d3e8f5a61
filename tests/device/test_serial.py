"""The serial device against the firmware's own C on the host, over pseudo-terminals clean and noisy."""

import os
import pty
import threading
import time
import tty
from dataclasses import asdict
from hashlib import sha256

import numpy as np
import pytest
from host_firmware import HostBoard, Noise, build
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_runtime import run_reference
from tflite_networks import Layer, Writer, network

from secateur.device import link as link_module
from secateur.device.devices import open_device
from secateur.device.line import Line
from secateur.device.link import ATTEMPTS, Link, SessionLost
from secateur.device.protocol import random_inputs
from secateur.device.serial import open_serial
from secateur.errors import SecateurError
from secateur.export.firmware import wire
from secateur.export.firmware.wire import REPLY, TYPES, Frame, Reader, encode
from secateur.export.read import read_tflite
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
MODEL = network(5, [Layer(37, activation=1, zero_point=-128), Layer(2, tail=("TANH",))], 0)
LONG = network(1300, [Layer(9, activation=1, zero_point=-128), Layer(1100)], 1)
"""Inputs and outputs that take several frames."""


def two_sides():
    """Two inputs of different sizes, one larger than a frame, and two outputs."""
    writer = Writer()
    parts = [writer.tensor(name, (1, size), "int8", [0.1], [3]) for name, size in (("a", 300), ("b", 9))]
    sums = [
        writer.tensor(f"{name}2", (1, size), "int8", [0.2], [-5]) for name, size in (("a", 300), ("b", 9))
    ]
    for part, result in zip(parts, sums):
        writer.operator("ADD", [part, part], [result], "AddOptions")
    names = ({"a": parts[0], "b": parts[1]}, {"twice a": sums[0], "twice b": sums[1]})
    return writer.finish(parts, sums, names)


TWO = two_sides()


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return {model: build(model, tmp_path_factory.mktemp("board")) for model in (MODEL, LONG, TWO)}


@pytest.fixture
def board(programs):
    """Boards by model and noise; at the end, none of them was stopped by a sanitizer."""
    started = []

    def start(model=MODEL, noise=None, seed=0):
        started.append(HostBoard(programs[model], noise, seed))
        return started[-1]

    yield start
    assert [one.close() for one in started] == [0] * len(started)


def connect(board, model=MODEL):
    return open_serial(read_tflite(model), model, board.port)


def held_against_tflm(device, model, calls, seed=0):
    inputs = random_inputs(device.network, calls, np.random.default_rng(seed))
    outputs = device.run(inputs)
    expected = run_reference(model, inputs["observation"])
    np.testing.assert_array_equal(outputs["action"], expected)


@pytest.mark.parametrize("model", [MODEL, LONG])
def test_answers_are_tflms(board, model):
    device = connect(board(model), model)
    held_against_tflm(device, model, 20)
    seen = device.statistics
    assert (seen.damaged_frames, seen.sessions) == (0, 1)
    device.close()


def test_several_inputs_and_outputs(board, tmp_path):
    device = connect(board(TWO), TWO)
    inputs = random_inputs(device.network, 6, np.random.default_rng(0))
    answers = device.run(inputs)
    reference = open_device("tflm", TWO, TARGET, tmp_path)
    for name, expected in reference.run(inputs).items():
        np.testing.assert_array_equal(answers[name], expected)
    device.close()


def test_open_device_takes_a_port(board, tmp_path):
    at = board().port
    device = open_device(f"serial:{at}@921600", MODEL, TARGET, tmp_path)
    held_against_tflm(device, MODEL, 3)
    measured = device.measure()
    assert measured.device == f"serial ({at} at 921600 baud)"
    assert 0 < measured.round_trip_s.low <= measured.round_trip_s.high
    assert (measured.cycles, measured.instructions, measured.latency_s) == (None, None, None)
    device.close()


NOISES = [Noise(dropped=0.01), Noise(flipped=0.01), Noise(doubled=0.01), Noise(0.003, 0.003, 0.003)]


@pytest.mark.parametrize("noise", NOISES)
def test_noise_costs_time_and_nothing_else(board, noise):
    running = board(noise=noise, seed=1)
    device = connect(running)
    held_against_tflm(device, MODEL, 150)
    running.line.noise = Noise()
    counters, seen = device.board_counters(), device.statistics
    assert counters["steps"] == 150  # each carried out once, however often it was sent
    assert seen.sessions == 1
    assert seen.sent_frames > seen.requests
    assert counters["damaged_frames"] + seen.damaged_frames > 0
    device.close()


def test_both_sides_count_what_the_line_carried(board):
    running = board(noise=Noise(0.004, 0.004, 0.004), seed=2)
    device = connect(running)
    held_against_tflm(device, MODEL, 80)
    running.line.noise = Noise()
    device.board_counters()
    time.sleep(0.3)  # for what is still on the line
    before = device.statistics
    counters, seen = device.board_counters(), device.statistics
    status = encode(Frame(TYPES["STATUS"] | REPLY, 0x101, 0x1010101, bytes(4 * len(wire.COUNTERS))))
    assert seen.sent_frames == before.sent_frames + 1
    assert seen.sent_bytes == running.line.to_board["taken"]
    assert counters["received_bytes"] == running.line.to_board["given"]
    assert counters["sent_bytes"] + len(status) == pytest.approx(running.line.from_board["taken"], abs=2)
    assert seen.received_bytes == running.line.from_board["given"]
    for way in (running.line.to_board, running.line.from_board):
        assert way["given"] == way["taken"] - way["dropped"] + way["doubled"]
    asked = counters["received_frames"] - counters["repeated_frames"] - counters["dropped_frames"]
    assert asked == seen.requests  # in one session every request is carried out, and none twice
    device.close()


@pytest.mark.parametrize("model", [MODEL, LONG])
def test_a_reset_in_the_middle_is_survived(board, model):
    running = board(model, Noise(0.0005, 0.0005, 0.0005), 3)
    device = connect(running, model)
    calls = 150 if model is MODEL else 25
    timer = threading.Timer(0.05, running.reset)
    timer.start()
    held_against_tflm(device, model, calls)
    timer.join()
    held_against_tflm(device, model, 2)
    running.line.noise = Noise()
    assert device.statistics.sessions >= 2
    assert device.board_counters()["steps"] <= calls + 2
    device.close()


def test_a_reset_between_the_parts_of_a_call_does_not_mix_them(board):
    """The first part of the inputs is lost with the reset, so the second must not be taken."""
    running = board(LONG)
    line = Line(running.port, 115200)
    link = Link(line)
    link.begin()
    link.ask("WRITE", bytes(4) + bytes(252))
    running.reset()
    with pytest.raises(SessionLost):
        link.ask("WRITE", (252).to_bytes(4, "little") + bytes(252))
    link.begin()
    for kind, offset, size in (("WRITE", 252, 252), ("STEP", 0, 252), ("READ", 0, 0), ("STEP", 0, 0)):
        with pytest.raises(SecateurError, match="WRONG_PLACE"):
            link.ask(kind, offset.to_bytes(4, "little") + bytes(size))
    line.close()


def test_a_board_that_runs_another_model_is_refused(board):
    with pytest.raises(SecateurError) as caught:
        connect(board(LONG))
    said = str(caught.value)
    assert sha256(MODEL).hexdigest() in said
    assert sha256(LONG).hexdigest() in said
    assert "--format firmware" in said


class FalseBoard:
    """Answers HELLO with what it is told to, and nothing else."""

    def __init__(self, payload):
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.port, self._slave, self._payload = os.ttyname(slave), slave, payload
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        reader = Reader()
        while True:
            for frame in reader.feed(os.read(self.master, 1024)):
                answer = Frame(TYPES["HELLO"] | REPLY, frame.sequence, frame.session, self._payload)
                os.write(self.master, encode(answer))


def greeting(**changes):
    fields = {
        "version": wire.VERSION,
        "clock": 0,
        "clock_hz": 0,
        "clock_overhead_ticks": 0,
        "input_bytes": 5,
        "output_bytes": 2,
        "model_sha256": sha256(MODEL).digest(),
        "layout": wire.tensor_layout(read_tflite(MODEL)),
        **changes,
    }
    return wire.layout_of(wire.HELLO).pack(*list(fields.values())[:-1]) + fields["layout"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 2}, "agree on the version of the protocol: the board has 2, the host 1"),
        ({"layout": wire.tensor_layout(read_tflite(LONG))}, "int8 [1, 1300] → int8 [1, 1100]"),
        ({"layout": b"\x00\x63\x01"}, "0x006301"),
        ({"output_bytes": 3}, "bytes of outputs"),
        ({"input_bytes": 4}, "bytes of inputs"),
    ],
)
def test_stale_firmware_is_refused(changes, expected):
    with pytest.raises(SecateurError) as caught:
        connect(FalseBoard(greeting(**changes)))
    assert expected in str(caught.value)


def test_a_version_is_told_whatever_follows_it():
    with pytest.raises(SecateurError, match="version"):
        connect(FalseBoard(b"\x09\x00"))


def test_a_silent_port_is_given_up(monkeypatch):
    monkeypatch.setattr(link_module, "_FIRST_TIMEOUT_S", 0.01)
    monkeypatch.setattr(link_module, "_LONGEST_TIMEOUT_S", 0.02)
    master, slave = pty.openpty()
    with pytest.raises(SecateurError) as caught:
        open_serial(read_tflite(MODEL), MODEL, os.ttyname(slave))
    assert f"no answer to HELLO sent {ATTEMPTS} times" in str(caught.value)
    assert "baud rate" in str(caught.value)
    os.close(master)
    os.close(slave)


def test_a_line_that_echoes_is_not_a_board(monkeypatch):
    monkeypatch.setattr(link_module, "_FIRST_TIMEOUT_S", 0.01)
    monkeypatch.setattr(link_module, "_LONGEST_TIMEOUT_S", 0.02)
    master, slave = pty.openpty()
    tty.setraw(slave)

    def echo():
        while True:
            os.write(master, os.read(master, 1024))

    threading.Thread(target=echo, daemon=True).start()
    with pytest.raises(SecateurError, match="no answer to HELLO"):
        open_serial(read_tflite(MODEL), MODEL, os.ttyname(slave))


def test_a_port_that_goes_away_is_an_error():
    master, slave = pty.openpty()
    line = Line(os.ttyname(slave), 115200)
    os.close(slave)
    os.close(master)
    with pytest.raises(SecateurError, match="Plug the board in again"):
        line.receive(1.0)
    with pytest.raises(SecateurError, match="Plug the board in again"):
        line.send(b"x")
    line.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "serial:PORT"),
        ("/dev/ttyACM0@fast", "serial:/dev/ttyACM0@fast"),
        ("/no/such/port", "No such file"),
        ("/dev/null", "is a terminal"),
        ("{port}@12345", "got 12345"),
    ],
)
def test_wrong_addresses(board, address, expected):
    with pytest.raises(SecateurError) as caught:
        open_serial(read_tflite(MODEL), MODEL, address.format(port=board().port))
    assert expected in str(caught.value)


@pytest.fixture(scope="module")
def fed(programs):
    """A board that is fed anything, and must go on answering."""
    running = HostBoard(programs[LONG])
    line = Line(running.port, 115200)
    yield line
    line.close()
    assert running.close() == 0


requests = st.builds(
    Frame,
    st.sampled_from([*TYPES.values(), 0, 6, 0x83]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.one_of(
        st.binary(max_size=12),
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 252)).map(
            lambda place: place[0].to_bytes(4, "little") + bytes(place[1])
        ),
        st.tuples(st.sampled_from([0, 1, 252, 504, 1299, 1300]), st.sampled_from([0, 1, 40, 252])).map(
            lambda place: place[0].to_bytes(4, "little") + bytes(place[1])
        ),
    ),
)


@settings(deadline=None, max_examples=60)
@given(sent=st.lists(st.one_of(requests.map(encode), st.binary(max_size=60)), max_size=12))
def test_whatever_a_board_is_asked_it_lives(fed, sent):
    """Requests in any order and with any arguments, and garbage between: no sanitizer stops it."""
    for data in sent:
        fed.send(data)
    link = Link(fed)
    assert link.begin()[:2] == wire.VERSION.to_bytes(2, "little")
    assert asdict(link.statistics)["sessions"] == 1
