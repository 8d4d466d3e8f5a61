"""One error base. A message states the rule, what was seen, and the remedy."""

from collections.abc import Mapping
from typing import Any

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INFEASIBLE = 3
EXIT_VERDICT_FAILED = 4


class SecateurError(Exception):
    """Anything the user can mend. Printed as one line, without a traceback."""

    exit_code = EXIT_ERROR

    def __init__(self, rule: str, seen: str, remedy: str) -> None:
        self.rule, self.seen, self.remedy = rule, seen, remedy
        super().__init__(f"{rule}: {seen}. {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rule, self.seen, self.remedy)  # how it comes home from another process


class UsageError(SecateurError):
    """A command line that cannot be understood."""

    exit_code = EXIT_USAGE


OF_GENERATED_C = {
    "--optimise": "kernels are chosen in generated C",
    "--toolchain": "a compiler is chosen for the image of a board",
    "--ram": "a budget of RAM is met by generated C, which is built anew",
}
"""Option → what it is for."""


def refuse_options(options: Mapping[str, object], seen: str, instead: str = "") -> None:
    """Raises UsageError where an option was given that would change nothing.

    Args:
        options: keys of ``OF_GENERATED_C`` and their values; None: not given.
        seen: why it would not, in words.
        instead: what else can be done.
    """
    for option, value in options.items():
        if value is not None:
            raise UsageError(
                OF_GENERATED_C[option], f"{option} {value}, and {seen}", f"Leave {option} out{instead}."
            )


class BudgetInfeasible(SecateurError):
    """No widths meet the budget. Names the binding resource, the component and the least that could be met."""

    exit_code = EXIT_INFEASIBLE


def require_known(kind: str, name: str, table: Mapping[str, Any]) -> None:
    """Raises SecateurError where ``name`` is not in ``table``."""
    if name not in table:
        raise SecateurError(
            f"{kind} is one that secateur has", f"got {name!r}", f"Choose {', '.join(table)}."
        )
