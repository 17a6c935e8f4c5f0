"""The job file and the rows file that `init` writes, as text."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from batchcrew.base.text import clean_text
from batchcrew.base.xlsx.new_cells import text_cell
from batchcrew.base.xlsx.writing import SheetColumn, WorkbookWriter
from batchcrew.model.crew_answers import CrewInput
from batchcrew.reports.export.output import StreamTarget

ROWS_NAME, ROWS_WORKBOOK = "rows.csv", "rows.xlsx"
_NUMBERS = frozenset({"int", "integer", "number", "float"})
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJobFile:
    """The content of a new job file.

    Args:
        batch: the batch's name.
        url: the crew's URL as the job file has it; it may contain a variable.
        token: the job file names CREW_TOKEN.
        start: the command that serves the crew; empty for a crew that is deployed.
        inputs: the columns of the rows file.
        listed: the crew itself lists its inputs.
        rows: the name of the rows file.
    """

    batch: str
    url: str
    token: bool
    start: str
    inputs: tuple[CrewInput, ...]
    listed: bool
    rows: str = ROWS_NAME


def batch_name_from(text: str) -> str:
    """Return a name for a batch, made of a crew's host or target."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:_LONGEST_NAME].strip("-").lower()
    return name or "batch"


def jobfile_text(new: NewJobFile) -> str:
    """Return the job file, with its comments."""
    lines = [
        f"# Written by `batchcrew init`. Replace the example row of {new.rows}, then:",
        "#   batchcrew check jobs.yaml    prints the plan; nothing is paid for",
        "#   batchcrew run jobs.yaml      starts the batch, or resumes it",
    ]
    if new.start:
        lines += ["# First start the crew, and set CREW_TOKEN to the token that it prints:", f"#   {new.start}"]
    lines += [f"batch: {_text(new.batch)}", "crew:", f"  url: {new.url}"]
    if new.token:
        lines.append("  token: ${CREW_TOKEN}     # from the environment, or from a .env file next to this file")
    else:
        lines.append("  # token: ${CREW_TOKEN}   # if the crew needs one")
    lines += [
        "run:",
        "  concurrency: 5           # executions in progress at the same time",
        "  timeout: 30m             # one execution",
        "jobs:",
        f"  - rows: {new.rows:<17}# each row is a job; an `id` column, if you add one, names it",
    ]
    if new.listed:
        lines.append("    # The crew is sent the columns that it lists as its inputs:")
        lines += [f"    #   {_described(entry)}" for entry in new.inputs] or ["    #   none"]
    elif new.inputs:
        lines.append("    # The crew does not list its inputs, so the columns to send are named here.")
        lines.append(f"    send: [{', '.join(literal_text(entry.name) for entry in new.inputs)}]")
    return "\n".join(lines) + "\n"


def rows_text(inputs: Sequence[CrewInput]) -> str:
    """Return a CSV file with a column for each input and one example row; without inputs, its column is `id`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows(_template(inputs))
    return file.getvalue()


def rows_workbook(inputs: Sequence[CrewInput]) -> bytes:
    """Return a workbook like the file of `rows_text`; its cells are text, so that leading zeros are kept."""
    out = io.BytesIO()
    target = StreamTarget(out)
    try:
        book = WorkbookWriter(target)
        header, example = _template(inputs)
        book.begin_sheet("Rows", [SheetColumn(name, max(12, min(len(name) + 8, 40))) for name in header])
        book.row([text_cell(text) for text in example])
        book.close()
    finally:
        target.close()
    return out.getvalue()


def _template(inputs: Sequence[CrewInput]) -> tuple[list[str], list[str]]:
    return [entry.name for entry in inputs] or ["id"], [_example(entry) for entry in inputs] or ["example-1"]


def literal_text(text: str) -> str:
    """Return a text as YAML, in which nothing is a variable."""
    return _text(text.replace("${", "$${"))


def _text(text: str) -> str:
    """Return a text as YAML; quoted unless it cannot be read as something else."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_/.:-]*[A-Za-z0-9/]|[A-Za-z]", text)
    words = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
    return text if plain and ": " not in text and text.lower() not in words else json.dumps(text, ensure_ascii=False)


def _described(entry: CrewInput) -> str:
    kind = f" ({entry.type})" if entry.type else ""
    return clean_text(f"{entry.name}{kind}{'' if entry.required else ', optional'}")


def _example(entry: CrewInput) -> str:
    kind = (entry.type or "").casefold()
    if kind in _NUMBERS:
        return "1"
    if kind in {"bool", "boolean"}:
        return "true"
    return f"example {entry.name}"
