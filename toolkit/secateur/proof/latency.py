"""By how much the artifact's actions are late: nothing, a given time, what is predicted, or what was measured."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from secateur.deploy import predicted
from secateur.device.serial import Serial
from secateur.device.timing import Effort, Here, time_models
from secateur.errors import SecateurError, UsageError, following_schema
from secateur.litert.bench import open_link, require_architecture, subjects_of
from secateur.openers import Bundled, OnDevice
from secateur.policy.policy import Task
from secateur.proof.subject import Subject
from secateur.simulate.delay import effective_delay_s
from secateur.simulate.jitter import Delay, Jitter, from_quantiles
from secateur.simulate.parallel import opened
from secateur.target.computer import Computer
from secateur.target.step import calls_per_step
from secateur.target.target import load_any
from secateur.units import parse_seconds
from secateur.verify.firmware import FirmwareController

MODES = ("measured", "predicted", "none")
TIMED_CALLS = 64
"""Of a board that counts its cycles: what jitter is drawn from."""


@dataclass(frozen=True)
class Lateness:
    """A delay and where it comes from.

    Attributes:
        mode: one of ``MODES``, or ``fixed``.
        delay: of the artifact's actions.
        source: in words.
        of_board: whether it is how long the board takes, so that it must fit a control period.
    """

    mode: str
    delay: Delay
    source: str
    of_board: bool = False

    @property
    def worst_s(self) -> float:
        """The longest."""
        return self.delay.worst_s if isinstance(self.delay, Jitter) else self.delay

    def to_data(self, task: Task) -> dict[str, Any]:
        """For ``verify.json``: how late, and how late the task's environment can make it (``simulate.delay``)."""
        control_hz = task.control_hz
        with closing(task.make_env()) as env:
            given_s = effective_delay_s(env, self.worst_s, control_hz)
        mean = self.delay.mean_s if isinstance(self.delay, Jitter) else self.delay
        return {
            "mode": self.mode,
            "mean_s": mean,
            "worst_s": self.worst_s,
            "worst_periods": self.worst_s * control_hz,
            "given_s": given_s,
            "jitter": isinstance(self.delay, Jitter),
            "source": self.source,
        }


def lateness_of(subject: Subject, wanted: str) -> Lateness:
    """The delay that ``wanted`` asks for.

    Args:
        subject: whose artifact it is.
        wanted: one of ``MODES``, or a time such as ``5ms``.

    Raises:
        SecateurError: it is not known: nothing was predicted, or this device measures no time.
    """
    if wanted == "none":
        return Lateness("none", 0.0, "none was asked for")
    if wanted == "predicted":
        return _predicted(subject)
    if wanted == "measured":
        return _measured(subject)
    try:
        return Lateness("fixed", parse_seconds(wanted), "as asked for")
    except UsageError as error:
        raise UsageError(
            f"a delay is {', '.join(MODES)} or a time", f"got {wanted!r}", "Write for example 5ms."
        ) from error


def _predicted(subject: Subject) -> Lateness:
    if subject.summary is not None:
        with following_schema("a run's summary", subject.run):
            worst = float(subject.summary["predicted"]["latency_s"])
        return Lateness("predicted", worst, "the worst end of what its run predicted", True)
    assert isinstance(subject.artifact, OnDevice)
    assert subject.network is not None
    board = subject.artifact.board()
    cost = predicted(subject.network, board)
    if cost is None:
        raise SecateurError(
            "a latency is predicted from kernels that the target has coefficients for",
            f"{board.name} lacks some of {subject.source}'s",
            "Take --delay measured, none, or a time.",
        )
    worst = calls_per_step(subject.policy) * cost.latency_s.high
    return Lateness("predicted", worst, f"the worst end of what is predicted for {board.name}", True)


def _measured(subject: Subject) -> Lateness:
    if not isinstance(subject.artifact, OnDevice):
        return _timed(subject, subject.artifact)
    if subject.device == "host":
        raise SecateurError(
            "a delay is measured on the board that the artifact is for",
            f"--device host runs its C on this machine, which is no {subject.target}",
            "Take --delay predicted, none or a time, or --device serial:PORT, emulator or qemu.",
        )
    controller = opened(subject.artifact).controller
    assert isinstance(controller, FirmwareController)
    if len(controller.devices) > 1:
        raise SecateurError(
            "a delay is measured where one call makes a decision",
            f"{subject.source} has {len(controller.devices)} parts",
            "Take --delay predicted: its run has put their times together.",
        )
    (device,), times = controller.devices.values(), calls_per_step(subject.policy)
    if isinstance(device, Serial):
        observed = device.observe(TIMED_CALLS)
        if observed.clock == "cycles":
            samples = tuple(times * ticks / observed.clock_hz for ticks in observed.ticks)
            return Lateness("measured", Jitter(samples), "cycles counted on the board, call by call", True)
    seen = device.measure()
    if seen.latency_s is None:
        raise SecateurError(
            "a delay is measured where a device tells how long a call takes",
            f"{device.name} does not",
            "Take --delay predicted, none, or a time.",
        )
    source = f"the worst end on {device.name}: {seen.latency_source}"
    return Lateness("measured", times * seen.latency_s.high, source, True)


def _timed(subject: Subject, artifact: Bundled) -> Lateness:
    computer = load_any(artifact.target)
    assert isinstance(computer, Computer)
    folder = artifact.folder
    subjects, _ = subjects_of(folder)
    if len(subjects) != 1:
        raise SecateurError(
            "a delay is measured where one call makes a decision",
            f"{folder} has {len(subjects)}",
            "Take --delay predicted, which adds all calls of a decision up.",
        )
    link = open_link(subject.device)
    found = time_models(link, [subjects[0].timed], Effort(max_s=3.0))
    require_architecture(link.name, found["machine"], computer, "Take --delay predicted, none or a time.")
    if found["throttled"]:
        raise SecateurError("a delay is measured at full speed", f"{link.name} was throttled", "Cool it.")
    call = found["models"][0]["call"]
    values = [call[name] for name in ("min_s", "p50_s", "p90_s", "p99_s", "max_s")]
    jitter = from_quantiles((0.0, 0.5, 0.9, 0.99, 1.0), [subjects[0].calls_per_step * v for v in values])
    here = isinstance(link, Here)
    source = f"quantiles of calls timed on {link.name}" + (", which is this machine" if here else "")
    return Lateness("measured", jitter, source, not here)
