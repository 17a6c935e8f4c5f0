"""Read the decisions of a filled-in inbox. Everything is checked before anything is sent."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from batchcrew.base.errors import MAX_PROBLEMS, JobFileError, Problem, UsageError
from batchcrew.jobfile import Problems, WorkbookRows
from batchcrew.model.job import Location
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
    """The job_id in the row; empty: the row has none."""
    task_id: str = ""
    """The task, if the crew does not name it."""
    line: int = 0
    """Line of the sheet, from 1; 0: there is no sheet."""
    sheet: str = ""
    """The sheet of a workbook."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The decisions of a sheet, and its rows without one."""

    entries: tuple[Entry, ...]
    undecided: int = 0


def read_sheet(path: Path) -> Sheet:
    """Return the decisions of a CSV file or a workbook; rows without a decision are left open.

    Raises:
        UsageError: the file cannot be read.
        JobFileError: rows are wrong; the error has their lines, and nothing was sent.
    """
    problems: list[Problem] = []
    found: dict[str, Entry] = {}
    undecided = 0
    is_workbook = _is_workbook(path)
    for where, row in _workbook_rows(path) if is_workbook else _rows(path):
        word = row.get("decision", "").strip()
        if not word:
            undecided += 1
            continue
        try:
            entry = _entry(where, row, word, quoted=not is_workbook)
            _require_same(found.setdefault(entry.wait_id, entry), entry)
        except UsageError as error:
            problems.append(Problem(file=str(path), line=where.line, sheet=where.sheet, message=str(error)))
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
            message = f"wait_id {entry.wait_id!r} belongs to job {wait.attempt.job_id!r}, not to {entry.job_id!r}"
        elif not (wait.question.task_id or entry.task_id):
            message = "the crew does not name the task (expected its id in the column task_id)"
        else:
            continue
        problems.append(Problem(file=str(path), line=entry.line, sheet=entry.sheet, message=message))
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


def _entry(where: Location, row: Mapping[str, str], word: str, *, quoted: bool) -> Entry:
    """Return the decision of a row.

    Args:
        quoted: whether cells may begin with a `'` that the sheet was written with.
    """
    approve = _DECISIONS.get(word.casefold())
    if approve is None:
        raise UsageError(f"invalid decision: {word[:40]!r} (expected approve, reject, or nothing)")
    wait_id = row.get("wait_id", "").strip()
    if not wait_id:
        raise UsageError("missing wait_id (expected the one of the inbox)")
    return Entry(
        wait_id=wait_id,
        decision=checked_decision(approve=approve, feedback=row.get("feedback", "").strip()),
        job_id=_unquoted(row.get("job_id", "")) if quoted else row.get("job_id", ""),
        task_id=_unquoted(row.get("task_id", "")) if quoted else row.get("task_id", ""),
        line=where.line,
        sheet=where.sheet,
    )


def _unquoted(cell: str) -> str:
    """Return a cell of an inbox without the `'` that keeps a spreadsheet from running it as a formula."""
    return cell[1:] if cell.startswith("'") else cell


def _require_columns(path: Path, names: Collection[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise UsageError(f"{path}: missing column {missing[0]!r} (expected the columns of `batchcrew inbox -f csv`)")


def _is_workbook(path: Path) -> bool:
    """Return whether a file is a workbook, whatever its name is.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"PK" or path.suffix.lower() == ".xlsx"
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _workbook_rows(path: Path) -> Iterator[tuple[Location, Mapping[str, str]]]:
    """Yield each row of the first sheet with its place.

    Raises:
        UsageError: the sheet has no decisions.
        JobFileError: the workbook, or one of its cells, cannot be read.
    """
    file, problems = WorkbookRows(path=path, name=str(path)), Problems()
    for line, row in file.read(problems):
        named = {name.casefold(): text for name, text in row.items()}
        _require_columns(path, named)
        yield Location(str(path), line, sheet=file.found.sheet), named
    problems.raise_if_any()


def _rows(path: Path) -> Iterator[tuple[Location, Mapping[str, str]]]:
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
        _require_columns(path, names)
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if any(cells):
                yield Location(str(path), line), dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: {error}") from error
