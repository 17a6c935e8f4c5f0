"""Read the decisions of a filled-in inbox. Everything is checked before anything is sent."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from batchcrew.base.errors import MAX_PROBLEMS, JobFileError, Problem, UsageError
from batchcrew.model.waits import Decision, Wait

MAX_FEEDBACK = 100_000
"""Characters of feedback: it becomes part of a prompt."""
REQUIRED = ("wait_id", "decision")
_DECISIONS = {"approve": True, "approved": True, "reject": False, "rejected": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision."""

    wait_id: str
    decision: Decision
    job_id: str = ""
    """As the row names it; empty: it does not."""
    task_id: str = ""
    """The task, where the crew does not name it."""
    line: int = 0
    """Line of the sheet, from 1; 0: there is no sheet."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The decisions of a sheet, and its rows without one."""

    entries: tuple[Entry, ...]
    undecided: int = 0


def read_sheet(path: Path) -> Sheet:
    """Return the decisions of a CSV file; rows without a decision are left open.

    Raises:
        UsageError: the file cannot be read.
        JobFileError: rows are wrong; the error has their lines, and nothing was sent.
    """
    problems: list[Problem] = []
    found: dict[str, Entry] = {}
    undecided = 0
    for line, row in _rows(path):
        word = row.get("decision", "").strip()
        if not word:
            undecided += 1
            continue
        try:
            entry = _entry(line, row, word)
            _require_same(found.setdefault(entry.wait_id, entry), entry)
        except UsageError as error:
            problems.append(Problem(file=str(path), line=line, column=0, message=str(error)))
            if len(problems) > MAX_PROBLEMS:
                break
    if problems:
        raise JobFileError(problems)
    return Sheet(tuple(found.values()), undecided)


def check_known(path: Path, sheet: Sheet, waits: Mapping[str, Wait]) -> None:
    """Require that each decision is about a question of the batch.

    Args:
        waits: those of the batch, by their id.

    Raises:
        JobFileError: rows are wrong; the error has their lines.
    """
    problems = []
    for entry in sheet.entries:
        wait = waits.get(entry.wait_id)
        if wait is None:
            message = f"wait_id {entry.wait_id!r} not found in the batch"
        elif entry.job_id and entry.job_id != wait.attempt.job_id:
            message = f"wait_id {entry.wait_id!r} is of job {wait.attempt.job_id!r}, not of {entry.job_id!r}"
        elif not (wait.question.task_id or entry.task_id):
            message = "the crew does not name the task (expected its id in the column task_id)"
        else:
            continue
        problems.append(Problem(file=str(path), line=entry.line, column=0, message=message))
    if problems:
        raise JobFileError(problems[: MAX_PROBLEMS + 1])


def checked_decision(*, approve: bool, feedback: str) -> Decision:
    """Return a decision.

    Raises:
        UsageError: a rejection has no feedback, or the feedback is too long.
    """
    if not approve and not feedback.strip():
        raise UsageError("a rejection requires feedback: the crew repeats the task with it")
    if len(feedback) > MAX_FEEDBACK:
        raise UsageError(f"feedback of {len(feedback)} characters (expected at most {MAX_FEEDBACK})")
    return Decision(approve=approve, feedback=feedback)


def _require_same(before: Entry, entry: Entry) -> None:
    if before.decision != entry.decision:
        raise UsageError(f"wait_id {entry.wait_id!r} is decided differently in line {before.line}")


def _entry(line: int, row: Mapping[str, str], word: str) -> Entry:
    approve = _DECISIONS.get(word.casefold())
    if approve is None:
        raise UsageError(f"invalid decision: {word[:40]!r} (expected approve, reject, or nothing)")
    wait_id = row.get("wait_id", "").strip()
    if not wait_id:
        raise UsageError("missing wait_id (expected the one of the inbox)")
    return Entry(
        wait_id=wait_id,
        decision=checked_decision(approve=approve, feedback=row.get("feedback", "").strip()),
        job_id=_unquoted(row.get("job_id", "")),
        task_id=_unquoted(row.get("task_id", "")),
        line=line,
    )


def _unquoted(cell: str) -> str:
    """Return a cell of an inbox without the `'` that keeps a spreadsheet from running it as a formula."""
    return cell[1:] if cell.startswith("'") else cell


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield each row with its line.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start + 1}); save it as CSV UTF-8") from error
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    try:
        names = [name.strip().casefold() for name in next(reader, [])]
        missing = [name for name in REQUIRED if name not in names]
        if missing:
            raise UsageError(
                f"{path}: missing column {missing[0]!r} (expected the columns of `batchcrew inbox -f csv`)"
            )
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if any(cells):
                yield line, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: {error}") from error
