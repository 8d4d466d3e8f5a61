"""What goes over a serial line: one table of the frame, and the constants of C and of Python made from it.

A frame is header, payload and a CRC-32 of both (IEEE 802.3), byte-stuffed by COBS (Cheshire and Baker, Consistent
Overhead Byte Stuffing, 1999) so that no byte of it is zero, with a zero before and after. Whatever happened on the
line, the next zero begins anew. Everything is little-endian.

The host asks, the board answers; one request is under way at a time. HELLO begins a session under a number that the
host drew. Within a session the board carries out a request only if its sequence number is one more than that of the
last; the last one again is answered again, from memory, and anything else is an echo of the past and is dropped. So
every request is carried out once, however often it is sent. A board that was reset has no session, and says so.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from secateur.network import Network

VERSION = 1
"""Of all that is said here. The head of HELLO's answer up to its version is the same in every version."""

MAX_PAYLOAD = 256
REPLY = 0x80
"""Added to a request's type in the answer to it."""

TYPES = {"HELLO": 0x01, "WRITE": 0x02, "STEP": 0x03, "READ": 0x04, "STATUS": 0x05, "REFUSED": 0x7F}
"""Requests, and the type of an answer that refuses one.

HELLO  nothing → ``HELLO`` fields, then the layout of inputs and outputs; states become zero
WRITE  ``PLACE`` fields, bytes of the inputs from there → nothing
STEP   ``PLACE`` fields, the last bytes of the inputs → ``STEPPED`` fields, outputs as far as they fit
READ   ``PLACE`` fields → outputs from there, as far as they fit
STATUS nothing → ``COUNTERS``, 4 bytes each
"""

REFUSALS = {"NO_SESSION": 1, "UNKNOWN_TYPE": 2, "WRONG_PLACE": 3, "DAMAGED": 4}
"""The one byte of a REFUSED answer. DAMAGED answers what was no frame, so its session and sequence are nobody's: 0."""

CLOCKS = ("none", "cycles", "instructions")
"""What a board's counter counts: nothing, cycles of its core, or an emulator's time, which instructions drive."""

COUNTERS = (
    "received_bytes",
    "sent_bytes",
    "received_frames",
    "sent_frames",
    "damaged_frames",
    "repeated_frames",
    "dropped_frames",
    "steps",
)
"""What a board counts from its reset on; whole frames and damaged ones apart, repeated ones were asked again."""

_DTYPES = ("int8", "uint8", "int16", "int32", "float32", "bool")

Fields = tuple[tuple[str, str], ...]
"""Name and ``struct`` format of each field, in order."""

HEADER: Fields = (("type", "B"), ("sequence", "H"), ("session", "I"), ("length", "H"))
CRC: Fields = (("crc", "I"),)
PLACE: Fields = (("offset", "I"),)
STEPPED: Fields = (("ticks", "I"),)
HELLO: Fields = (
    ("version", "H"),
    ("clock", "B"),
    ("clock_hz", "I"),
    ("clock_overhead_ticks", "I"),
    ("input_bytes", "I"),
    ("output_bytes", "I"),
    ("model_sha256", "32s"),
)


def layout_of(fields: Fields) -> struct.Struct:
    """The packed, little-endian layout of some fields."""
    return struct.Struct("<" + "".join(code for _, code in fields))


_HEADER, _CRC = layout_of(HEADER), layout_of(CRC)
SMALLEST_FRAME = _HEADER.size + _CRC.size
LARGEST_FRAME = SMALLEST_FRAME + MAX_PAYLOAD
_LONGEST_PIECE = 2 * LARGEST_FRAME  # more than a frame can be stuffed to; of a longer piece no more is kept


@dataclass(frozen=True)
class Frame:
    """What a frame says, apart from its length and checksum."""

    type: int
    sequence: int
    session: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """A frame as it goes over the line, zeros around it included."""
    head = _HEADER.pack(frame.type, frame.sequence, frame.session, len(frame.payload))
    body = head + frame.payload
    return b"\0" + _stuffed(body + _CRC.pack(zlib.crc32(body))) + b"\0"


class Reader:
    """Bytes as they come → frames.

    Attributes:
        damaged: pieces between zeros so far that were no frame.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._piece = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end within these bytes."""
        *ended, rest = data.split(b"\0")
        frames = []
        for piece in ended:
            self._piece += piece
            if self._piece:
                frame = _decoded(bytes(self._piece))
                if frame is None:
                    self.damaged += 1
                else:
                    frames.append(frame)
            self._piece.clear()
        self._piece += rest
        del self._piece[_LONGEST_PIECE:]
        return frames


def _decoded(piece: bytes) -> Frame | None:
    body = _unstuffed(piece)
    if body is None or not SMALLEST_FRAME <= len(body) <= LARGEST_FRAME:
        return None
    content, (checksum,) = body[: -_CRC.size], _CRC.unpack(body[-_CRC.size :])
    kind, sequence, session, length = _HEADER.unpack_from(content)
    if length != len(content) - _HEADER.size or checksum != zlib.crc32(content):
        return None
    return Frame(kind, sequence, session, content[_HEADER.size :])


def _stuffed(body: bytes) -> bytes:
    """Blocks of up to 254 bytes without a zero, each after its length plus one; below 255 a zero follows it."""
    out = bytearray()
    blocks = body.split(b"\0")
    for block in blocks:
        while len(block) >= 254:
            out += b"\xff" + block[:254]
            block = block[254:]
        out += bytes([len(block) + 1]) + block
    return bytes(out)


def _unstuffed(piece: bytes) -> bytes | None:
    """The body; None where the last block is cut short."""
    out = bytearray()
    place, zero = 0, False
    while place < len(piece):
        if zero:
            out.append(0)
        code = piece[place]
        block = piece[place + 1 : place + code]
        if len(block) != code - 1:
            return None
        out += block
        zero = code < 255
        place += code
    return bytes(out)


def tensor_layout(network: Network) -> bytes:
    """Inputs but for states, then outputs, as HELLO states them: side, dtype, rank, then each dimension in 4 bytes."""
    parts = bytearray()
    for side, names in enumerate((network.external, network.outputs)):
        for index in names.values():
            tensor = network.tensors[index]
            parts += bytes([side, _DTYPES.index(tensor.dtype), len(tensor.shape)])
            parts += struct.pack(f"<{len(tensor.shape)}I", *tensor.shape)
    return bytes(parts)


def describe_layout(layout: bytes) -> str:
    """``"int8 [1, 5] → int8 [1, 2]"``, for messages; what cannot be read is given in hexadecimal."""
    sides: tuple[list[str], list[str]] = ([], [])
    place = 0
    while place < len(layout):
        try:
            side, dtype, rank = layout[place : place + 3]
            shape = struct.unpack_from(f"<{rank}I", layout, place + 3)
            sides[side].append(f"{_DTYPES[dtype]} {list(shape)}")
        except (ValueError, IndexError, struct.error):
            return f"0x{layout.hex()}"
        place += 3 + 4 * rank
    return " → ".join(", ".join(side) for side in sides)


def wire_header() -> str:
    """``wire.h``: the constants above for C."""
    lines = [
        ("WIRE_VERSION", VERSION),
        ("WIRE_MAX_PAYLOAD", MAX_PAYLOAD),
        ("WIRE_SMALLEST_FRAME", SMALLEST_FRAME),
        ("WIRE_LARGEST_FRAME", LARGEST_FRAME),
        ("WIRE_REPLY", REPLY),
        *((f"WIRE_{name}", value) for name, value in TYPES.items()),
        *((f"WIRE_{name}", value) for name, value in REFUSALS.items()),
        *((f"WIRE_CLOCK_{name.upper()}", value) for value, name in enumerate(CLOCKS)),
        *((f"COUNT_{name.upper()}", value) for value, name in enumerate(COUNTERS)),
        ("COUNTERS", len(COUNTERS)),
    ]
    tables = (("HEADER", HEADER), ("PLACE", PLACE), ("STEPPED", STEPPED), ("HELLO", HELLO))
    for title, fields in tables:
        lines += _offsets(title, fields)
    defines = "".join(f"#define {name} {value}u\n" for name, value in lines)
    return (
        "/* Constants of the serial protocol, with the offset of each field. Generated from the one table. */\n"
        f"#ifndef WIRE_H\n#define WIRE_H\n\n{defines}\n#endif\n"
    )


def _offsets(title: str, fields: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    places, offset = [], 0
    for name, code in fields:
        places.append((f"{title}_{name.upper()}", offset))
        offset += struct.calcsize("<" + code)
    return [*places, (f"{title}_BYTES", offset)]
