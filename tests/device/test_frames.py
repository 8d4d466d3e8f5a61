"""Frames, in Python and in the firmware's own C with sanitizers: round trip, and nothing out of nothing."""

import re
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.export.firmware import wire
from secateur.export.firmware.image import firmware_file
from secateur.export.firmware.wire import LARGEST_FRAME, MAX_PAYLOAD, Frame, Reader, encode
from secateur.export.toolchain import WARNINGS, run_compiler, write_sources

SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
HALF = LARGEST_FRAME // 2

payloads = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=236, max_size=MAX_PAYLOAD),
    st.integers(0, MAX_PAYLOAD).map(bytes),
    st.integers(0, MAX_PAYLOAD).map(lambda size: b"\xff" * size),
    st.tuples(st.integers(0, MAX_PAYLOAD // 2), st.integers(0, MAX_PAYLOAD // 2 - 1)).map(
        lambda sizes: b"x" * sizes[0] + b"\0" + b"y" * sizes[1]
    ),
)
frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), payloads)
changes = st.lists(
    st.tuples(st.sampled_from(["drop", "flip", "double"]), st.integers(0, 2**32), st.integers(1, 255)),
    max_size=6,
)


class Filter:
    """The C of the firmware, as a process."""

    def __init__(self, folder: Path) -> None:
        files = {name: firmware_file(name) for name in ("frame.c", "frame.h")}
        files |= {
            "wire.h": wire.wire_header(),
            "main.c": Path(__file__).with_name("frame_main.c").read_text(),
        }
        write_sources(files, folder)
        run_compiler(["cc", *SANITIZERS, "-O1", *WARNINGS, "frame.c", "main.c", "-o", "filter"], folder)
        self.process = subprocess.Popen([folder / "filter"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def decode(self, data: bytes) -> tuple[list[Frame], int]:
        self._send(b"D", data)
        found = []
        while size := self._number():
            kind, sequence, session, length = struct.unpack_from("<BHIH", body := self._read(size))
            assert (length, zlib.crc32(body[:-4])) == (size - 13, int.from_bytes(body[-4:], "little"))
            found.append(Frame(kind, sequence, session, body[9:-4]))
        return found, self._number()

    def encode(self, frame: Frame) -> bytes:
        self._send(b"E", struct.pack("<BHI", frame.type, frame.sequence, frame.session) + frame.payload)
        return self._read(self._number())

    def _send(self, command: bytes, data: bytes) -> None:
        self.process.stdin.write(command + struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()

    def _read(self, size: int) -> bytes:
        data = self.process.stdout.read(size)
        assert len(data) == size, f"the filter ended with {self.process.wait()}"
        return data

    def _number(self) -> int:
        return int.from_bytes(self._read(4), "little")


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    running = Filter(tmp_path_factory.mktemp("filter"))
    yield running
    running.process.stdin.close()
    assert running.process.wait() == 0


def changed(data: bytes, how: list[tuple[str, int, int]]) -> bytes:
    """Bytes dropped, flipped (never to what they were) and doubled."""
    out = bytearray(data)
    for what, where, mask in how:
        if not out:
            break
        place = where % len(out)
        if what == "drop":
            del out[place]
        elif what == "flip":
            out[place] ^= mask
        else:
            out.insert(place, out[place])
    return bytes(out)


def both(filtered: Filter, data: bytes) -> tuple[list[Frame], int]:
    """Decoded by C and by Python, which agree."""
    reader = Reader()
    found = reader.feed(data)
    assert filtered.decode(data) == (found, reader.damaged)
    return found, reader.damaged


@settings(deadline=None, max_examples=200)
@given(frame=frames)
def test_round_trip(filtered, frame):
    data = encode(frame)
    assert filtered.encode(frame) == data
    assert both(filtered, data) == ([frame], 0)
    assert data.count(0) == 2
    assert len(data) <= LARGEST_FRAME + 2 + -(-LARGEST_FRAME // 254) + 1


@settings(deadline=None, max_examples=200)
@given(sent=st.lists(frames, max_size=4), how=changes)
def test_a_noisy_line_gives_no_frame_that_was_not_sent(filtered, sent, how):
    found, _ = both(filtered, changed(b"".join(map(encode, sent)), how))
    rest = iter(sent)
    assert all(frame in rest for frame in found)  # each of them, in order
    assert len(found) >= len(sent) - 2 * len(how)


@settings(deadline=None, max_examples=200)
@given(garbage=st.binary(max_size=3 * HALF), after=frames)
def test_garbage_is_no_frame_and_does_no_harm_to_the_next(filtered, garbage, after):
    assert both(filtered, garbage)[0] == []
    assert both(filtered, garbage + encode(after))[0] == [after]


@settings(deadline=None, max_examples=50)
@given(blocks=st.lists(st.binary(min_size=1, max_size=400), max_size=12), damage=st.integers(0, 255))
def test_stuffing_that_never_was_is_survived(filtered, blocks, damage):
    """Block codes that promise more than comes, and frames longer than any."""
    data = b"".join(bytes([damage or 1]) + block.replace(b"\0", b"\1") for block in blocks) + b"\0"
    assert both(filtered, data)[0] == []


def test_a_frame_in_pieces_is_the_same_frame():
    frame = Frame(3, 7, 9, bytes(range(256)))
    reader = Reader()
    found = [one for byte in encode(frame) for one in reader.feed(bytes([byte]))]
    assert (found, reader.damaged) == ([frame], 0)


def test_a_reader_does_not_keep_more_than_a_frame():
    reader = Reader()
    for _ in range(100):
        reader.feed(b"x" * 4096)
    assert len(reader._piece) < 2 * 4096
    assert reader.feed(encode(Frame(1, 1, 1))) == [Frame(1, 1, 1)]
    assert reader.damaged == 1


def test_a_longer_frame_than_allowed_is_none(filtered):
    long = Frame(1, 2, 3, bytes(MAX_PAYLOAD + 1))
    assert both(filtered, encode(long)) == ([], 1)


def test_the_constants_of_c_are_those_of_python():
    defined = dict(re.findall(r"#define (\w+) (\d+)u", wire.wire_header()))
    assert int(defined["WIRE_MAX_PAYLOAD"]) == MAX_PAYLOAD
    assert [int(defined[f"HEADER_{name.upper()}"]) for name, _ in wire.HEADER] == [0, 1, 3, 7]
    assert int(defined["HEADER_BYTES"]) == 9
    assert int(defined["HELLO_BYTES"]) == wire.layout_of(wire.HELLO).size
    assert {int(defined[f"WIRE_{name}"]) for name in wire.TYPES} == set(wire.TYPES.values())
    assert len(set(wire.TYPES.values())) == len(wire.TYPES)
