"""How long a sweep will take: from what earlier runs took, and never from a guess."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from secateur.errors import SecateurError
from secateur.runfolder import read_document
from secateur.sweep.file import Run
from secateur.sweep.one import RESULTS

MAX_EARLIER_BYTES = 1 << 26
"""Of a summary, or of the results of a sweep."""

MAX_EARLIER = 1000
"""Folders that are looked into."""

Kind = tuple[str, str]
"""Policy and strategy: what a run's time depends on most."""


@dataclass
class Durations:
    """What runs took, s, by policy and strategy. An infeasible one is over before it begins, and tells nothing."""

    known: dict[Kind, list[float]] = field(default_factory=dict)

    def learn(self, kind: Kind, seconds: float) -> None:
        """Adds a run that was carried out from its start to its end."""
        self.known.setdefault(kind, []).append(seconds)

    @property
    def count(self) -> int:
        """How many runs are known."""
        return sum(len(times) for times in self.known.values())

    def expected_s(self, kind: Kind) -> float | None:
        """The mean of known runs of this policy and strategy, else of the policy, else of all; None without any."""
        for alike in (
            lambda other: other == kind,
            lambda other: other[0] == kind[0],
            lambda _: True,
        ):
            times = [t for other, known in self.known.items() if alike(other) for t in known]
            if times:
                return fmean(times)
        return None

    def remaining_s(self, kinds: Iterable[Kind], workers: int) -> float | None:
        """For runs of these kinds on so many workers: the work shared out, and no less than the longest run."""
        times = [self.expected_s(kind) for kind in kinds]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return None
        return max(sum(known) / max(1, workers), max(known, default=0.0))


def kind_of(run: Run) -> Kind:
    """What a run's time depends on."""
    return Path(run.request.policy).name, run.request.strategy


def earlier(around: Path, runs: Sequence[Run]) -> Durations:
    """What finished runs and sweeps in a folder took, where they are of the sweep's policies; read, not trusted."""
    wanted = {kind_of(run)[0] for run in runs}
    found = Durations()
    folders = sorted(path for path in around.iterdir() if path.is_dir()) if around.is_dir() else []
    for folder in folders[:MAX_EARLIER]:
        for policy, strategy, seconds in (*_of_run(folder), *_of_sweep(folder)):
            if policy in wanted:
                found.learn((policy, strategy), seconds)
    return found


def _of_run(folder: Path) -> list[tuple[str, str, float]]:
    path = folder / "summary.json"
    try:
        summary: Mapping[str, object] = read_document(path)
        seconds = float(str(summary["wall_s"]))
        return [(str(summary["policy"]), str(summary["strategy"]), seconds)] if seconds > 0 else []
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _of_sweep(folder: Path) -> list[tuple[str, str, float]]:
    from secateur.sweep.results import FILE, look

    try:
        if (folder / FILE).stat().st_size > MAX_EARLIER_BYTES:
            return []
        results = look(folder)
    except (OSError, SecateurError):
        return []
    try:
        asked = {row["run"]: (Path(row["policy"]).name, row["strategy"]) for row in results.rows()}
        ended = [
            one for one in results.attempts() if one["status"] in RESULTS and one["status"] != "infeasible"
        ]
        return [(*asked[one["run"]], float(one["wall_s"])) for one in ended if one["run"] in asked]
    except (SecateurError, ValueError, TypeError):
        return []
    finally:
        results.close()
