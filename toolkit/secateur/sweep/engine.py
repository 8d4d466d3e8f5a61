"""A sweep's runs, each one call of ``carry_out`` in a process that it can kill.

An environment that crashes natively ends its worker, not the sweep. Where processes die and it is not told which of the
runs that were under way did it, those are done again, each alone, so that the one which kills its process is known by
that.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from secateur.errors import EXIT_ERROR, SecateurError
from secateur.sweep.one import Errand, Outcome, carry_out, hung
from secateur.workers import Lost, Processes, Raised, Workers, ask, first_line, value

_FRUITLESS = 3
"""So often all workers may die before a run begins."""

Carry = Callable[[Errand], Outcome]


def call(workers: Workers, function: Callable[..., Any], *arguments: Any) -> Any:
    """One call in a worker, waited for.

    Raises:
        SecateurError: it kills its process. Others as ``function``.
    """
    answer = ask(workers, function, *arguments)
    if isinstance(answer, Lost):
        raise SecateurError(
            "policies and environments leave their process alive",
            f"a worker died in {function.__name__} ({answer.why})",
            "Run secateur inspect and secateur prune on each policy to see which.",
        )
    return value(answer)


def outcomes(workers: Workers, errands: Sequence[Errand], carry: Carry = carry_out) -> Iterator[Outcome]:
    """Every errand's outcome, as they end.

    Args:
        workers: who carry them out.
        errands: the runs.
        carry: what a worker does with one.

    Raises:
        SecateurError: workers die before they begin a run.
    """
    waiting, fruitless = list(errands), 0
    while waiting:
        fruitless += 1
        lost: list[Errand] = []
        for number, answer in workers.ended(carry, [(errand,) for errand in waiting]):
            if isinstance(answer, Lost) and not workers.tells_which:
                lost.append(waiting[number])
                continue
            fruitless = 0
            yield _outcome(waiting[number], answer)
        begun = [errand for errand in lost if errand.started.exists()]
        for errand in begun:
            fruitless = 0
            yield _alone(errand, carry)
        waiting = [errand for errand in lost if errand not in begun]
        if waiting and fruitless == _FRUITLESS:
            raise SecateurError(
                "workers live long enough to begin a run",
                f"they died {fruitless} times before any of {len(waiting)} runs had begun",
                "See whether memory is short (fewer --jobs), then go on with --resume.",
            )


def _alone(errand: Errand, carry: Carry) -> Outcome:
    """The outcome of a run that may kill its process."""
    if (known := hung(errand)) is not None:
        return known
    with closing(Processes(1)) as alone:
        answer = ask(alone, carry, errand)
    errand.started.unlink(missing_ok=True)
    if isinstance(answer, Lost):
        answer = Lost("twice, the second time with no other run beside it")
    return _outcome(errand, answer)


def _outcome(errand: Errand, answer: Outcome | Raised | Lost) -> Outcome:
    """A run that ended, or what else came of it."""
    if isinstance(answer, Lost):
        return hung(errand) or Outcome(
            errand.number, "crashed", EXIT_ERROR, f"its process died, {answer.why}"
        )
    if isinstance(answer, Raised):
        text = f"{type(answer.error).__name__}: {first_line(answer.error)}"
        return Outcome(errand.number, "error", EXIT_ERROR, text[:2000])
    return answer
