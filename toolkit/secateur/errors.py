"""One error base. A message states the rule, what was seen, and the remedy."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


_OF_THE_DISK = {
    errno.ENOSPC: "there is room on the disk",
    errno.EDQUOT: "there is room within the disk quota",
    errno.EFBIG: "files may be as large as they get",
    errno.EROFS: "the file system can be written to",
    errno.EACCES: "files may be read and written",
    errno.EPERM: "files may be read and written",
    errno.ENAMETOOLONG: "paths are as short as the file system asks for",
    errno.EMFILE: "enough files may be open at a time",
}
"""What a system's refusal says of the machine, as a rule that is broken."""


def refused(error: BaseException) -> SecateurError | None:
    """An error as one that the user can mend, where it is the machine that refused; None for anything else."""
    if isinstance(error, SecateurError):
        return error
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        where = f"{error.filename}: " if error.filename else ""
        return SecateurError(
            _OF_THE_DISK[error.errno],
            f"{where}{error.strerror}",
            "Mend that, then go on with --resume: what was finished is kept.",
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return SecateurError(
            "there is enough memory",
            str(error).splitlines()[0] if str(error) else "none is left",
            "Run less at a time, or raise the limit, then go on with --resume.",
        )
    return None


_OF_DATA: tuple[type[Exception], ...] = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What code raises at data that are not as it expects."""


@contextmanager
def following_schema(what: str, source: object, *kinds: type[Exception]) -> Iterator[None]:
    """Raises SecateurError where what is read inside is not as it should be.

    Args:
        what: is read.
        source: where it is from, for the message.
        kinds: of exceptions that tell it beside the usual ones.
    """
    told_by = _OF_DATA + kinds
    try:
        yield
    except told_by as error:
        raise SecateurError(
            f"{what} follows its schema",
            f"{source}: {type(error).__name__}: {error}",
            "Read it with the version of secateur that wrote it.",
        ) from error


class Diverged(SecateurError):
    """An action, an observation or a reward that is not finite."""


class UsageError(SecateurError):
    """A command line that cannot be understood."""

    exit_code = EXIT_USAGE


PURPOSES = {
    "--optimise": "kernels are chosen in generated C",
    "--toolchain": "a compiler is chosen for the image of a board",
    "--ram": "a budget of RAM is met by generated C, which is built anew",
    "--policy": "a policy is named again beside a run that was made from it, where its code is run",
}
"""Option → what it is for."""


def refuse_options(options: Mapping[str, object], seen: str, instead: str = "") -> None:
    """Raises UsageError where an option was given that would change nothing.

    Args:
        options: keys of ``PURPOSES`` and their values; None: not given.
        seen: why it would not, in words.
        instead: what else can be done.
    """
    for option, value in options.items():
        if value is not None:
            raise UsageError(
                PURPOSES[option], f"{option} {value}, and {seen}", f"Leave {option} out{instead}."
            )


class BudgetInfeasible(SecateurError):
    """No widths meet the budget. Names the binding resource, the component and the least that could be met."""

    exit_code = EXIT_INFEASIBLE


def require_known(
    kind: str, name: str, table: Mapping[str, Any], error: type[SecateurError] = UsageError
) -> None:
    """Raises ``error`` where ``name``, as somebody wrote it, is not in ``table``."""
    if name not in table:
        raise error(f"{kind} is one that secateur has", f"got {name!r}", f"Choose {', '.join(table)}.")
