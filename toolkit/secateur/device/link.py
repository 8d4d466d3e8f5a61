"""Requests over a line that loses, flips and doubles bytes, to a board that may be reset at any time.

The host's side of the protocol in ``export/firmware/wire.py``: each request is sent until its answer comes, and is
carried out once. It is sent again when either side sees a damaged frame, and after a time-out. Time-outs follow the
times that answers take (Jacobson, Congestion Avoidance and Control, 1988; requests sent more than once are not timed,
as Karn and Partridge found), and double each time.
"""

import secrets
import time
from collections import deque
from dataclasses import dataclass, replace

from secateur.device.line import Line
from secateur.errors import SecateurError
from secateur.export.firmware.wire import REFUSALS, REPLY, TYPES, Frame, Reader, encode

ATTEMPTS = 12
"""Time-outs of one request after which a board is given up."""

_REPETITIONS = 100  # of one request, after damaged frames
_FIRST_TIMEOUT_S, _LEAST_TIMEOUT_S, _LONGEST_TIMEOUT_S = 0.5, 0.03, 4.0
_BITS_PER_BYTE = 10  # with start and stop bit
_REASONS = {code: name for name, code in REFUSALS.items()}
_COMPLAINT = Frame(TYPES["REFUSED"] | REPLY, 0, 0, bytes([REFUSALS["DAMAGED"]]))


class SessionLost(Exception):
    """The board knows nothing of this session: it was reset."""


class _Damaged(Exception):
    """One side saw a damaged frame: what was asked or answered may be lost."""


@dataclass(frozen=True)
class LinkStatistics:
    """What the host saw of a link so far.

    Attributes:
        requests: asked, each once.
        sent_frames: requests as sent; those beyond ``requests`` were repetitions.
        received_frames: whole ones.
        damaged_frames: pieces between zeros that were no frame.
        stale_frames: whole ones that nobody waited for any more; the board's complaints of damage apart.
        complaints: of the board, about frames that reached it damaged.
        timeouts: waits that ended without an answer.
        sessions: begun; each after the first followed a reset of the board.
        sent_bytes, received_bytes: on the line.
    """

    requests: int = 0
    sent_frames: int = 0
    received_frames: int = 0
    damaged_frames: int = 0
    stale_frames: int = 0
    complaints: int = 0
    timeouts: int = 0
    sessions: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class _Patience:
    """How long to wait for answers of one kind."""

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._deviation_s = 0.0

    def learn(self, took_s: float) -> None:
        """An answer took so long."""
        if self._mean_s is None:
            self._mean_s, self._deviation_s = took_s, took_s / 2
            return
        self._deviation_s += (abs(took_s - self._mean_s) - self._deviation_s) / 4
        self._mean_s += (took_s - self._mean_s) / 8

    @property
    def timeout_s(self) -> float:
        """Of the first attempt."""
        if self._mean_s is None:
            return _FIRST_TIMEOUT_S
        return max(_LEAST_TIMEOUT_S, self._mean_s + 4 * self._deviation_s)


class Link:
    """Requests and their answers, within one session at a time."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._reader = Reader()
        self._arrived: deque[Frame] = deque()
        self._patience: dict[str, _Patience] = {}
        self._session, self._sequence = 0, 0
        self._counted = LinkStatistics()

    @property
    def statistics(self) -> LinkStatistics:
        """So far."""
        return replace(self._counted, damaged_frames=self._reader.damaged)

    def begin(self) -> bytes:
        """Begin a session under a new number. Gives HELLO's answer."""
        self._session = secrets.randbelow(0xFFFF_FFFF) + 1
        self._count(sessions=1)
        return self.ask("HELLO")

    def ask(self, kind: str, payload: bytes = b"") -> bytes:
        """Send a request until its answer comes. Gives the answer's payload.

        Raises:
            SessionLost: the board was reset since the session began.
            SecateurError: no answer, or the board refuses.
        """
        self._sequence = (self._sequence + 1) & 0xFFFF
        data = encode(Frame(TYPES[kind], self._sequence, self._session, payload))
        patience = self._patience.setdefault(kind, _Patience())
        on_the_line_s = 2 * len(data) * _BITS_PER_BYTE / self._line.baud
        timeout_s = patience.timeout_s + on_the_line_s
        self._count(requests=1)
        began = time.monotonic()
        silences, repetitions = 0, 0
        while silences < ATTEMPTS and repetitions < _REPETITIONS:
            self._line.send(data)
            self._count(sent_frames=1, sent_bytes=len(data))
            sent = time.monotonic()
            try:
                answer = self._await(kind, sent + timeout_s)
            except _Damaged:
                repetitions += 1
                continue
            if answer is not None:
                if silences + repetitions == 0:
                    patience.learn(time.monotonic() - sent)
                return self._payload(kind, answer)
            self._count(timeouts=1)
            silences += 1
            timeout_s = min(2 * timeout_s, _LONGEST_TIMEOUT_S + on_the_line_s)
        seen, sent_times = self.statistics, silences + repetitions
        raise SecateurError(
            "the board answers over its serial line",
            f"{self._line.port} at {self._line.baud} baud: no answer to {kind} sent {sent_times} times over "
            f"{time.monotonic() - began:.1f} s; {seen.received_bytes} bytes came in all, "
            f"{seen.damaged_frames} damaged frames among them",
            "Check port, baud rate and wiring, and that the board runs the firmware of this model "
            "(secateur export --format firmware).",
        )

    def _payload(self, kind: str, answer: Frame) -> bytes:
        if answer.type == TYPES["REFUSED"] | REPLY:
            reason = _REASONS.get(answer.payload[0] if answer.payload else 0, "an unknown one")
            if reason == "NO_SESSION":
                raise SessionLost
            raise SecateurError(
                "the board carries out what it is asked",
                f"it refused {kind}: {reason}",
                "Host and firmware differ; export and flash the firmware again.",
            )
        return answer.payload

    def _await(self, kind: str, deadline: float) -> Frame | None:
        """The answer to the last request, or None once it is late; everything else that comes is stale."""
        wanted = {TYPES[kind] | REPLY, TYPES["REFUSED"] | REPLY}
        damaged = self._reader.damaged
        while True:
            while self._arrived:
                frame = self._arrived.popleft()
                ours = (frame.session, frame.sequence) == (self._session, self._sequence)
                if ours and frame.type in wanted:
                    return frame
                if frame == _COMPLAINT:
                    self._count(complaints=1)
                    raise _Damaged
                self._count(stale_frames=1)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            data = self._line.receive(left_s)
            frames = self._reader.feed(data)
            self._count(received_bytes=len(data), received_frames=len(frames))
            self._arrived.extend(frames)
            if self._reader.damaged > damaged and not frames:
                raise _Damaged

    def _count(self, **more: int) -> None:
        self._counted = replace(
            self._counted, **{name: getattr(self._counted, name) + count for name, count in more.items()}
        )
