"""The exception tree. Every error that users can see has a class and a plain message.

    BatchcrewError
    ├── UsageError              a command was used wrongly
    ├── JobFileError            the job file, or a file it names, is not valid; carries up to 20 problems
    ├── NeedsConsent            the plan would pay again for many succeeded jobs
    ├── StoppedEarly            a signal arrived before anything was started
    ├── BatchBusy               another run holds this batch
    ├── CrewUnusable            a crew is unusable: unreachable, 401/403, wrong URL
    ├── OutputError             stdout, or the file of an export, cannot be written
    │   └── OutputClosed        the program that reads stdout has ended
    └── LedgerError             the ledger cannot be read or written
        ├── LedgerTooNew        written by a later batchcrew
        ├── LedgerTooOld        to be upgraded before it can be read
        ├── NotRecorded         a kickoff_id that the ledger could not record
        └── NotInLedger         no such batch or job

`model/exit_codes.py` has the exit code of each class. A job that fails is not an exception: it is an `Outcome`.
"""

from dataclasses import dataclass
from typing import TypeVar

from batchcrew.base.xlsx.places import cell_place

Error = TypeVar("Error", bound=Exception)

MAX_PROBLEMS = 20
"""Problems of one file that are collected before reading stops."""


class BatchcrewError(Exception):
    """Root of every error that batchcrew raises on purpose."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message. A line break in one of them is part of a foreign text."""
        return (str(self),)


class UsageError(BatchcrewError):
    """A command or an option was used wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file.

    `line` and `column` count from 1; 0 means that the place is not known.
    """

    file: str
    line: int = 0
    column: int = 0
    message: str
    """The problem and what is expected, in one sentence."""
    sheet: str = ""
    """The sheet of a workbook, whose rows and columns `line` and `column` are then."""

    def __str__(self) -> str:
        place = self.file
        if self.sheet and self.line:
            place += f":{cell_place(self.sheet, self.line, self.column)}"
        elif self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return f"{place}: {self.message}"


class JobFileError(BatchcrewError):
    """The job file or one of its rows files is wrong. `problems` holds 1 to 20 of its mistakes."""

    def __init__(self, problems: "list[Problem] | tuple[Problem, ...]", *, more: bool = False) -> None:
        self.problems = tuple(problems[:MAX_PROBLEMS])
        self.more = more or len(problems) > MAX_PROBLEMS
        lines = [str(problem) for problem in self.problems]
        if self.more:
            lines.append(f"… and more; the first {len(self.problems)} are shown")
        super().__init__("\n".join(lines))
        self._lines = tuple(lines)

    @property
    def lines(self) -> tuple[str, ...]:
        return self._lines


class NeedsConsent(BatchcrewError):
    """The plan would pay again for many jobs that have succeeded; nothing was started or changed."""


class StoppedEarly(BatchcrewError):
    """A signal arrived before anything was started or changed."""


class BatchBusy(BatchcrewError):
    """Another run holds this batch."""


class CrewUnusable(BatchcrewError):
    """A crew is unusable: unreachable, 401/403, or the URL is not that of a crew."""


class OutputError(BatchcrewError):
    """Standard output, or the file of an export, cannot be written."""


class OutputClosed(OutputError):
    """The program that reads standard output (`head`, `less`) has ended, which is not an error."""


class LedgerError(BatchcrewError):
    """The ledger cannot be opened, read or written."""


class LedgerTooNew(LedgerError):
    """The ledger was written by a later version of batchcrew."""


class LedgerTooOld(LedgerError):
    """An earlier version wrote the ledger, and a command that only reads does not upgrade it."""


class NotRecorded(LedgerError):
    """The ledger could not take a kickoff_id. `spilled` says whether it is in the spill file instead."""

    def __init__(self, message: str, *, spilled: bool) -> None:
        super().__init__(message)
        self.spilled = spilled


class NotInLedger(LedgerError):
    """The ledger has no such batch or job."""


def first_error(errors: BaseExceptionGroup[Error]) -> Error:
    """Return the first error of a group, also of one inside a group."""
    for error in errors.exceptions:
        return first_error(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group has an error")
