"""The rows files of a job file, and the questions about them, as `check` prints them: cleaned lines, and JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from batchcrew.base.text import clean_text, display_width
from batchcrew.jobfile import Question, RowsDescription

MOST_SHOWN = 20
"""Files, and questions, that are shown as text; JSON has them all."""
_NAME_COLUMNS = 32
_INDENT = "  "


def render_rows_files(files: Sequence[RowsDescription], *, width: int) -> Iterator[str]:
    """Yield a line for each file, as many column names in it as fit into `width` terminal columns."""
    for file in files[:MOST_SHOWN]:
        yield _INDENT + _described(file, width - len(_INDENT))
    if len(files) > MOST_SHOWN:
        yield f"{_INDENT}and {_counted(len(files) - MOST_SHOWN, 'more rows file')}"


def render_questions(questions: Sequence[Question]) -> Iterator[str]:
    """Yield a block with a line for each question; nothing when there are none."""
    if not questions:
        return
    yield f"{_INDENT}{_counted(len(questions), 'question')} about rows files:"
    for question in questions[:MOST_SHOWN]:
        yield f"{_INDENT * 2}{clean_text(str(question))}"
    if len(questions) > MOST_SHOWN:
        yield f"{_INDENT * 2}and {len(questions) - MOST_SHOWN} more"


def rows_files_json(files: Sequence[RowsDescription]) -> list[dict[str, Any]]:
    """Return `[{"name", "rows", "encoding", "delimiter", "sheet", "columns"}]`; null is what a format does not have."""
    return [asdict(file) for file in files]


def questions_json(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Return `[{"file", "line", "message"}]`."""
    return [
        {"file": question.where.file, "line": question.where.line, "message": question.message}
        for question in questions
    ]


def _described(file: RowsDescription, width: int) -> str:
    facts = [] if file.rows is None else [_counted(file.rows, "row")]
    if file.encoding is not None:
        facts.append(clean_text(file.encoding, limit=_NAME_COLUMNS))
    if file.delimiter is not None:
        facts.append("delimiter " + ("tab" if file.delimiter == "\t" else repr(file.delimiter)))
    if file.sheet is not None:
        facts.append(f"sheet {clean_text(file.sheet, limit=_NAME_COLUMNS)!r}")
    text = f"{clean_text(file.name)}: {', '.join(facts)}"
    if not file.columns:
        return text
    text += f", {_counted(len(file.columns), 'column')}: "
    return text + _fitting(file.columns, width - display_width(text))


def _fitting(names: Sequence[str], width: int) -> str:
    """Return the first names that fit, at least one, and `…` for the others."""
    text = ""
    for number, name in enumerate(names):
        more = (", " if number else "") + clean_text(name, limit=_NAME_COLUMNS)
        left = width - display_width(text) - display_width(more)
        if number and left < (0 if number == len(names) - 1 else len(", …")):
            return f"{text}, …"
        text += more
    return text


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
