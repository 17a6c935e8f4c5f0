"""The exception tree. Every error that users can see has a class, a plain message and an exit code.

    BatchcrewError (70)
    ├── UsageError (2)          a command was called wrongly
    ├── JobFileError (2)        the job file, or a file it names, is wrong; carries up to 20 problems
    ├── NeedsConsent (3)        the plan would pay again for many succeeded jobs
    ├── BatchBusy (4)           another run holds this batch
    ├── CrewUnusable (5)        a crew is unusable: unreachable, 401/403, wrong URL
    ├── OutputError (2)         stdout, or the file of an export, cannot be written
    │   └── OutputClosed (0)    the program that reads stdout has ended
    └── LedgerError (70)        the ledger cannot be read or written
        ├── LedgerTooNew        written by a later batchcrew
        ├── LedgerTooOld (2)    to be upgraded before it can be read
        ├── NotRecorded         a kickoff_id that the ledger could not take
        └── NotInLedger (2)     no such batch or job

A job that fails is not an exception: it is an outcome (see `models`).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process says to cron. The table is a promise (README)."""

    SUCCEEDED = 0
    JOBS_FAILED = 1
    USAGE = 2
    STOPPED = 3
    BUSY = 4
    CREW_UNUSABLE = 5
    DEFECT = 70


MAX_PROBLEMS = 20
"""Problems of one file that are collected before reading stops."""


class BatchcrewError(Exception):
    """Root of every error that batchcrew raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.DEFECT


class UsageError(BatchcrewError):
    """A command or an option was used wrongly."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file.

    `line` and `column` count from 1; 0 means that the place is not known.
    """

    file: str
    line: int = 0
    column: int = 0
    message: str
    """What was found and what would be right, in one sentence."""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return f"{place}: {self.message}"


class JobFileError(BatchcrewError):
    """The job file or one of its rows files is wrong. `problems` holds 1 to 20 of its mistakes."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: "list[Problem] | tuple[Problem, ...]", *, more: bool = False) -> None:
        self.problems = tuple(problems[:MAX_PROBLEMS])
        self.more = more or len(problems) > MAX_PROBLEMS
        lines = [str(problem) for problem in self.problems]
        if self.more:
            lines.append(f"… and more; the first {len(self.problems)} are shown")
        super().__init__("\n".join(lines))


class NeedsConsent(BatchcrewError):
    """The plan would pay again for much that has succeeded; nothing was started or changed."""

    exit_code = ExitCode.STOPPED


class BatchBusy(BatchcrewError):
    """Another run holds this batch."""

    exit_code = ExitCode.BUSY


class CrewUnusable(BatchcrewError):
    """A crew is unusable: unreachable, 401/403, or the URL is not that of a crew."""

    exit_code = ExitCode.CREW_UNUSABLE


class OutputError(BatchcrewError):
    """Standard output, or the file of an export, cannot be written."""

    exit_code = ExitCode.USAGE


class OutputClosed(OutputError):
    """The program that reads standard output (`head`, `less`) has ended: it has what it wanted."""

    exit_code = ExitCode.SUCCEEDED


class LedgerError(BatchcrewError):
    """The ledger cannot be opened, read or written."""


class LedgerTooNew(LedgerError):
    """The ledger was written by a later version of batchcrew."""


class LedgerTooOld(LedgerError):
    """An earlier version wrote the ledger, and a command that only reads does not upgrade it."""

    exit_code = ExitCode.USAGE


class NotRecorded(LedgerError):
    """The ledger could not take a kickoff_id. `spilled` says whether it is in the spill file instead."""

    def __init__(self, message: str, *, spilled: bool) -> None:
        super().__init__(message)
        self.spilled = spilled


class NotInLedger(LedgerError):
    """The ledger has no such batch or job."""

    exit_code = ExitCode.USAGE
