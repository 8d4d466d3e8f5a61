"""A board on a serial port, running the firmware of ``export/firmware``."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from secateur.device.line import Line
from secateur.device.link import Link, LinkStatistics, SessionLost
from secateur.device.protocol import call_shape, checked_inputs, random_inputs
from secateur.errors import SecateurError
from secateur.export.firmware.boards import BAUD
from secateur.export.firmware.wire import (
    CLOCKS,
    COUNTERS,
    HELLO,
    MAX_PAYLOAD,
    PLACE,
    STEPPED,
    VERSION,
    describe_layout,
    layout_of,
    tensor_layout,
)
from secateur.network import Network
from secateur.records import Measurement, Range

TIMED_CALLS = 2
_RESETS_PER_CALL = 5
_HELLO, _PLACE, _STEPPED, _COUNTERS = (
    layout_of(fields) for fields in (HELLO, PLACE, STEPPED, tuple((name, "I") for name in COUNTERS))
)
_REFLASH = "Flash this model's firmware: secateur export MODEL --target TARGET --format firmware."


@dataclass(frozen=True)
class Observed:
    """Some calls, as the host and the board saw them.

    Attributes:
        round_trip_s: of each call, from its inputs to its outputs, the line included.
        ticks: of the board's counter, of each call; without those of an empty call.
        clock: what it counts, one of ``CLOCKS``.
        clock_hz: ticks in a second.
    """

    round_trip_s: tuple[float, ...]
    ticks: tuple[int, ...]
    clock: str
    clock_hz: int


class Serial:
    """A ``Device``: a board that answers over a line."""

    def __init__(self, network: Network, model: bytes, line: Line) -> None:
        """Greet the board.

        Args:
            network: as read from the model.
            model: the .tflite that the board is to run.
            line: where it is; closed with this device.

        Raises:
            SecateurError: no answer, or the board runs something else.
        """
        self.network = network
        self.name = f"serial ({line.port} at {line.baud} baud)"
        self._line, self._link = line, Link(line)
        self._model_hash = sha256(model).digest()
        self._layout = tensor_layout(network)
        try:
            self._greet()
        except SecateurError:
            line.close()
            raise

    @property
    def statistics(self) -> LinkStatistics:
        """What the host saw of the link so far."""
        return self._link.statistics

    def board_counters(self) -> dict[str, int]:
        """What the board counted since its last reset: name of ``COUNTERS`` → count, before this answer went out."""
        while True:
            try:
                return dict(zip(COUNTERS, _COUNTERS.unpack(self._link.ask("STATUS"))))
            except SessionLost:
                self._greet()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ``Device.run``."""
        count, checked = checked_inputs(self.network, inputs)
        tensors = self.network.tensors
        outputs = {
            name: np.empty((count, *call_shape(tensors[tensor])), tensors[tensor].dtype)
            for name, tensor in self.network.outputs.items()
        }
        for call in range(count):
            answer, _ = self._call(b"".join(checked[name][call].tobytes() for name in self.network.external))
            place = 0
            for values in outputs.values():
                size = values[:1].nbytes
                part = np.frombuffer(answer[place : place + size], values.dtype)
                values[call] = part.reshape(values.shape[1:])
                place += size
        return outputs

    def reset(self) -> None:
        """See ``Device.reset``: a session begins with states of zero."""
        if self.network.states:
            self._greet()

    def observe(self, calls: int = TIMED_CALLS) -> Observed:
        """Time some calls, with the inputs that the emulator counts instructions on."""
        inputs = random_inputs(self.network, calls + 2, np.random.default_rng(0))
        spans, ticks = [], []
        for call in range(2, calls + 2):
            data = b"".join(inputs[name][call].tobytes() for name in self.network.external)
            began = time.monotonic()
            ticks.append(self._call(data)[1] - self._hello["clock_overhead_ticks"])
            spans.append(time.monotonic() - began)
        return Observed(tuple(spans), tuple(ticks), CLOCKS[self._hello["clock"]], self._hello["clock_hz"])

    def measure(self) -> Measurement:
        """The round trip; and cycles and the latency that they make, where the board counts them."""
        observed = self.observe()
        times = Range(min(observed.round_trip_s), max(observed.round_trip_s))
        if observed.clock != "cycles":
            return Measurement(device=self.name, round_trip_s=times)
        low, high = min(observed.ticks), max(observed.ticks)
        return Measurement(
            device=self.name,
            round_trip_s=times,
            cycles=high,
            latency_s=Range(low / observed.clock_hz, high / observed.clock_hz),
            latency_source=f"measured on the board: cycles at {observed.clock_hz / 1e6:g} MHz",
        )

    def close(self) -> None:
        """See ``Device.close``."""
        self._line.close()

    def _call(self, data: bytes) -> tuple[bytes, int]:
        """One call: all inputs → all outputs, and the ticks it took. Anew where the board was reset during it."""
        for _ in range(_RESETS_PER_CALL):
            try:
                return self._attempt(data)
            except SessionLost:
                self._greet()
                if self.network.states:
                    raise SecateurError(
                        "a board keeps a network's states through an episode",
                        "it was reset during one, and they are zero",
                        "Begin the episode anew.",
                    ) from None
        raise SecateurError(
            "a board runs a call without being reset",
            f"it was reset {_RESETS_PER_CALL} times during one",
            "A fault of the firmware resets it, as do a watchdog and a weak supply; look into these.",
        )

    def _attempt(self, data: bytes) -> tuple[bytes, int]:
        room = MAX_PAYLOAD - _PLACE.size
        *before, last = range(0, max(len(data), 1), room)
        for start in before:
            self._link.ask("WRITE", _PLACE.pack(start) + data[start : start + room])
        stepped = self._link.ask("STEP", _PLACE.pack(last) + data[last:])
        (ticks,) = _STEPPED.unpack_from(stepped)
        answer = stepped[_STEPPED.size :]
        while len(answer) < self._hello["output_bytes"]:
            more = self._link.ask("READ", _PLACE.pack(len(answer)))
            if not more:
                break
            answer += more
        if len(answer) != self._hello["output_bytes"]:
            raise self._wrong("bytes of outputs", self._hello["output_bytes"], len(answer))
        return answer, ticks

    def _greet(self) -> None:
        """Begin a session, and make sure that the board runs this model."""
        greeting = self._link.begin()
        (version,) = layout_of(HELLO[:1]).unpack_from(greeting)
        if version != VERSION or len(greeting) < _HELLO.size:
            raise self._wrong("version of the protocol", version, VERSION)
        self._hello: dict[str, Any] = dict(zip((name for name, _ in HELLO), _HELLO.unpack_from(greeting)))
        if self._hello["model_sha256"] != self._model_hash:
            raise self._wrong("model's sha256", self._hello["model_sha256"].hex(), self._model_hash.hex())
        layout = greeting[_HELLO.size :]
        if layout != self._layout:
            raise self._wrong("shapes", describe_layout(layout), describe_layout(self._layout))
        for side, tensors in (("input", self.network.external), ("output", self.network.outputs)):
            size = sum(self._bytes(tensor) for tensor in tensors.values())
            if self._hello[f"{side}_bytes"] != size:
                raise self._wrong(f"bytes of {side}s", self._hello[f"{side}_bytes"], size)

    def _bytes(self, index: int) -> int:
        tensor = self.network.tensors[index]
        return int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize

    def _wrong(self, what: str, seen: object, wanted: object) -> SecateurError:
        return SecateurError(
            f"board and host agree on the {what}", f"the board has {seen}, the host {wanted}", _REFLASH
        )


def open_serial(network: Network, model: bytes, address: str) -> Serial:
    """A board at ``PORT`` or ``PORT@BAUD``.

    Raises:
        SecateurError: not an address; or the port cannot be opened, or the board runs something else.
    """
    port, _, rate = address.partition("@")
    if not port or (rate and not rate.isdigit()):
        raise SecateurError(
            "a serial device is serial:PORT or serial:PORT@BAUD",
            f"got serial:{address}",
            f"Write for example serial:/dev/ttyACM0@{BAUD}.",
        )
    return Serial(network, model, Line(port, int(rate) if rate else BAUD))
