"""A sweep as its TOML states it: a product of choices, or a list of runs; validated, and counted before any starts."""

import difflib
import itertools
import json
import tomllib
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secateur.budget import parse_budget
from secateur.errors import SecateurError
from secateur.pipeline import PruneRequest
from secateur.policy.load import shipped_policies
from secateur.shipped import absolute_target

MAX_FILE_BYTES = 1 << 20
MAX_RUNS = 100_000
"""More is taken for a mistake in the product."""


Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BudgetText(_Record):
    """A budget as on the command line of ``secateur prune``; an empty one is the board's own."""

    flash: str | None = None
    ram: str | None = None
    latency: str | None = None
    rate: str | None = None
    utilisation: str | None = None
    component: tuple[str, ...] = Field(strict=False, default=())
    max_return_drop: str = "5%"

    def __str__(self) -> str:
        """As people write it."""
        given = [
            f"{name} {text}"
            for name in ("flash", "ram", "latency", "rate", "utilisation")
            if (text := getattr(self, name))
        ]
        return ", ".join([*given, *self.component]) or "the board's own"


class RunText(_Record):
    """One run of an explicit list."""

    policy: str
    target: str
    budget: BudgetText = BudgetText()
    strategy: str = "component-aware"
    importance: str = "taylor"
    seed: Seed = 0


class PruneText(_Record):
    """What all runs of a sweep have in common: options of ``secateur prune``, with its defaults."""

    episodes: int = Field(ge=2, default=64)
    recovery_steps: int = Field(ge=0, default=6000)
    schedule: str = "one-shot"
    coefficients: str = "none"
    fake_quantise: bool = False
    entry: str | None = None
    dtype: str | None = None
    optimise: str | None = None
    toolchain: str | None = None


class SweepFile(_Record):
    """The whole file: either the product of the lists or ``runs``.

    Attributes:
        policies, targets: that are combined; as ``secateur prune`` takes them.
        budgets, strategies, importance, seeds: the same.
        runs: instead of all of these.
        prune: of every run.
        minutes: after which a run is given up; what it had finished is kept for ``--resume``.
    """

    policies: tuple[str, ...] = Field(strict=False, default=())
    targets: tuple[str, ...] = Field(strict=False, default=())
    budgets: tuple[BudgetText, ...] = Field(strict=False, default=(BudgetText(),))
    strategies: tuple[str, ...] = Field(strict=False, default=("component-aware",))
    importance: tuple[str, ...] = Field(strict=False, default=("taylor",))
    seeds: tuple[Seed, ...] = Field(strict=False, default=(0,))
    runs: tuple[RunText, ...] = Field(strict=False, default=())
    prune: PruneText = PruneText()
    minutes: float = Field(gt=0, le=60 * 24 * 30, default=360.0)

    @model_validator(mode="after")
    def _one_way(self) -> "SweepFile":
        product = {"policies", "targets", "budgets", "strategies", "importance", "seeds"}
        if self.runs and product & self.model_fields_set:
            raise ValueError("give the lists of a product or runs, not both")
        if not self.runs and not (self.policies and self.targets):
            raise ValueError("give policies and targets, or runs")
        return self

    def texts(self) -> tuple[RunText, ...]:
        """Every run, those of one policy and seed beside each other."""
        if self.runs:
            return self.runs
        product = itertools.product(
            self.policies, self.seeds, self.importance, self.strategies, self.budgets, self.targets
        )
        return tuple(
            RunText(policy=p, target=t, budget=b, strategy=s, importance=i, seed=n)
            for p, n, i, s, b, t in product
        )


_TABLES: dict[str, type[BaseModel]] = {
    "budgets": BudgetText,
    "budget": BudgetText,
    "runs": RunText,
    "prune": PruneText,
}


@dataclass(frozen=True)
class Run:
    """One run: its number within the sweep, its budget in words, and what is asked of ``prune``."""

    number: int
    budget: str
    request: PruneRequest


@dataclass(frozen=True)
class Sweep:
    """A sweep that was read.

    Attributes:
        runs: in order.
        minutes: after which one is given up.
        identity: sha256 of everything that decides results, in hexadecimal.
    """

    runs: tuple[Run, ...]
    minutes: float
    identity: str


def read_sweep(path: Path) -> Sweep:
    """Reads and validates a sweep file. Paths in it are taken from where the file is.

    Raises:
        SecateurError: unreadable, an unknown key (with the nearest valid one), a budget that is no quantity, the
            same run twice, or more runs than make sense.
    """
    content = _parse(path)
    try:
        file = SweepFile.model_validate(content)
    except ValidationError as error:
        raise _invalid(path, error) from error
    count = len(file.runs) or _product(file)
    if not 0 < count <= MAX_RUNS:
        raise SecateurError(
            f"a sweep has between 1 and {MAX_RUNS:,} runs",
            f"{path} asks for {count:,}",
            "Split it, or correct its lists.",
        )
    here = path.resolve().parent
    runs = tuple(_run(number, text, file.prune, here) for number, text in enumerate(file.texts()))
    seen: dict[str, int] = {}
    for run in runs:
        first = seen.setdefault(repr(run.request), run.number)
        if first != run.number:
            raise SecateurError(
                "the runs of a sweep differ",
                f"{path}: run {run.number} asks for the same as run {first} ({run.request.policy} on "
                f"{run.request.target}, {run.budget})",
                "Leave one out.",
            )
    asked = [run.request for run in runs]
    return Sweep(runs, file.minutes, sha256(repr(asked).encode()).hexdigest())


def _product(file: SweepFile) -> int:
    count = 1
    for choices in (file.policies, file.targets, file.budgets, file.strategies, file.importance, file.seeds):
        count *= len(choices)
    return count


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SecateurError(
                f"a sweep file has at most {MAX_FILE_BYTES:,} bytes",
                f"{path} has {path.stat().st_size:,}",
                "Split it.",
            )
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SecateurError(
            "a sweep is a readable TOML file", f"{path}: {reason}", "Correct the file or its path."
        ) from error


def _run(number: int, text: RunText, common: PruneText, here: Path) -> Run:
    budget = text.budget
    parsed = parse_budget(
        budget.flash,
        budget.ram,
        budget.latency,
        budget.rate,
        budget.component,
        budget.max_return_drop,
        budget.utilisation,
    )
    request = PruneRequest(
        policy=_policy(text.policy, here),
        target=absolute_target(text.target, here),
        budget=parsed,
        strategy=text.strategy,
        importance=text.importance,
        seed=text.seed,
        **common.model_dump(),
    )
    return Run(number, str(budget), request)


def _policy(text: str, here: Path) -> str:
    """A folder as an absolute path, anything else as it is: workers need not stand where the sweep was started."""
    folder = here / text
    if not folder.is_dir() or text in {path.name for path in shipped_policies()}:
        return text
    return str(folder.resolve())


def _invalid(path: Path, error: ValidationError) -> SecateurError:
    """The first thing wrong; unknown keys before missing ones, since one may be the other misspelt."""
    problem = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        *tables, unknown = problem["loc"]
        named = [_TABLES[str(part)] for part in tables if str(part) in _TABLES]
        valid = list((named[-1] if named else SweepFile).model_fields)
        near = difflib.get_close_matches(str(unknown), valid, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        return SecateurError(
            "a sweep has known keys only",
            f"{path.name}: {key} is unknown",
            f"{hint}Valid: {', '.join(valid)}.",
        )
    seen = "" if problem["type"] in ("missing", "value_error") else f" (got {problem['input']!r:.80})"
    return SecateurError(
        "a sweep's values are valid", f"{path.name}: {key}: {problem['msg']}{seen}", "See docs/sweeps.md."
    )


def budget_json(request: PruneRequest) -> str:
    """The budget as one line of JSON, equal for equal budgets."""
    return json.dumps(asdict(request.budget), sort_keys=True, allow_nan=False)
