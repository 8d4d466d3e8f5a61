"""The policy behind UDP: a datagram with an observation comes in, a datagram with the action goes back.

    python3 udp_node.py --port 5005 --rate 200 --seconds 60

An observation is the little-endian header ``<QI`` (sequence number, elements) and its elements as float32, keys of a
dict in the order of policy.json; an action likewise, with the same sequence number. Of several datagrams that wait, the
latest counts and the others are counted as stale. Prints the statistics as JSON when it ends. There is neither
encryption nor a check of who sends: bind it to a link that is yours.
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np
from robot import ControlLoop, Policy

HEADER = struct.Struct("<QI")
_LARGEST = 65_000


def pack(sequence: int, values: Any) -> bytes:
    """A datagram."""
    flat = np.ascontiguousarray(values, "<f4").ravel()
    return HEADER.pack(sequence, flat.size) + flat.tobytes()


def unpack(data: bytes) -> tuple[int, np.ndarray]:
    """Sequence number and elements; raises ValueError for anything else."""
    if len(data) < HEADER.size:
        raise ValueError(f"{len(data)} bytes are no datagram")
    sequence, count = HEADER.unpack_from(data)
    if len(data) != HEADER.size + 4 * count:
        raise ValueError(f"{len(data)} bytes for {count} elements")
    return sequence, np.frombuffer(data, "<f4", offset=HEADER.size)


class Wire:
    """The socket, and who sent last."""

    def __init__(self, host: str, port: int, record: dict[str, Any] | None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.socket.setblocking(False)
        self._record, self._peer, self._sequence = record, None, 0
        self.stale = self.malformed = 0

    def read(self, wait_s: float) -> Any:
        """The latest observation, or None."""
        if wait_s and not select.select([self.socket], [], [], wait_s)[0]:
            return None
        latest = None
        while True:
            try:
                data, peer = self.socket.recvfrom(_LARGEST)
            except BlockingIOError:
                break
            try:
                sequence, values = unpack(data)
                observation = self._shaped(values)
            except ValueError:
                self.malformed += 1
                continue
            self.stale += latest is not None
            self._peer, self._sequence, latest = peer, sequence, observation
        return latest

    def write(self, action: Any) -> None:
        """To whoever sent the last observation; to nobody before there was one."""
        if self._peer is not None:
            self.socket.sendto(pack(self._sequence, action), self._peer)

    def _shaped(self, values: np.ndarray) -> Any:
        if self._record is None:
            raise ValueError("policy.json describes no observation")
        shapes = [tuple(shape) for shape in self._record["shapes"]]
        sizes = [int(np.prod(shape)) for shape in shapes]
        if values.size != sum(sizes):
            raise ValueError(f"{values.size} elements, {sum(sizes)} expected")
        parts = np.split(values, np.cumsum(sizes)[:-1])
        arrays = [part.reshape(shape) for part, shape in zip(parts, shapes)]
        return dict(zip(self._record["keys"], arrays)) if self._record["keys"] else arrays[0]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=5005)
    parser.add_argument("--rate", type=float, help="Hz; the policy's own rate by default")
    parser.add_argument("--seconds", type=float, help="how long; until a signal by default")
    parser.add_argument("--safe-action", type=float, nargs="+", help="zeros by default")
    parser.add_argument("--overrun", choices=("skip", "catch-up", "stop"), default="skip")
    parser.add_argument("--watchdog", type=float, help="seconds; ten periods by default")
    arguments = parser.parse_args()
    policy = Policy(Path(__file__).parent)
    size = int(np.prod(policy.description["action"]["shape"]))
    wire = Wire(arguments.host, arguments.port, policy.description["observation"])
    loop = ControlLoop(
        policy,
        arguments.rate or policy.control_hz,
        wire.read,
        wire.write,
        arguments.safe_action or [0.0] * size,
        arguments.overrun,
        arguments.watchdog,
        follow=True,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.stop())
    print(json.dumps({"listening": wire.socket.getsockname()[1]}), flush=True)
    statistics = loop.run(arguments.seconds)
    print(json.dumps({**statistics, "stale": wire.stale, "malformed": wire.malformed}), flush=True)


if __name__ == "__main__":
    main()
