"""The details of a row of the table: the job's inputs, tasks, attempts and output, in blocks that are read on demand.

The blocks take at most a given number of bytes. Jobs that need attention come first, then those at the beginning of
the file; the page refers to an export for the others.
"""

import asyncio
import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger import BatchKey, Reading
from batchcrew.model.execution import TaskResult
from batchcrew.model.job import JobState
from batchcrew.model.views import AttemptDetail, JobDetail
from batchcrew.reports.html import words
from batchcrew.reports.html.columns import Spools
from batchcrew.reports.html.markdown import as_html, value_as_text

MOST_JOBS = 20_000
"""Jobs that are considered."""
BLOCK_BYTES = 200_000
"""A block is complete at this many bytes of JSON."""
_LONGEST_VALUE = 20_000
_MOST_VALUES = 300
_MOST_PARTS = 50
"""Tasks, and attempts, of one job."""


@dataclass(slots=True)
class Details:
    """The details of some jobs, in blocks."""

    limit: int
    """Most bytes of the blocks, as they are in the file."""
    spools: Spools
    size: int = 0
    blocks: list[tuple[IO[bytes], int]] = field(default_factory=list)
    """Each in base64, and its bytes of JSON."""
    rows: list[list[int]] = field(default_factory=list)
    """By block: the rows of its jobs."""

    @property
    def jobs(self) -> int:
        """Return the number of jobs that have details."""
        return sum(map(len, self.rows))

    def add(self, rows: list[int], details: list[bytes]) -> bool:
        """Add a block; return whether it fits, so that another one may be added."""
        document = b"[" + b",".join(details) + b"]"
        encoded = base64.b64encode(zlib.compress(document, 6, wbits=31))
        if self.size + len(encoded) > self.limit:
            return False
        data = self.spools.new()
        data.write(encoded)
        self.rows.append(rows)
        self.blocks.append((data, len(document)))
        self.size += len(encoded)
        return True


async def read_details(ledger: Reading, key: BatchKey, wanted: Sequence[tuple[str, int]], details: Details) -> None:
    """Read the details of as many jobs as fit.

    Args:
        wanted: job_id and row of each job, the most interesting first.
    """
    rows: list[int] = []
    documents: list[bytes] = []
    size = 0
    for job_id, row in wanted if details.limit > 0 else ():
        try:
            job = await ledger.job(key, job_id)
        except NotInLedger:  # deleted meanwhile
            continue
        documents.append(await asyncio.to_thread(_document, job))
        rows.append(row)
        size += len(documents[-1])
        if size >= BLOCK_BYTES:
            if not await asyncio.to_thread(_add, details, rows, documents):
                return
            rows, documents, size = [], [], 0
    if rows:
        await asyncio.to_thread(_add, details, rows, documents)


def _add(details: Details, rows: list[int], documents: list[bytes]) -> bool:
    """Add a block; one that does not fit is added as far as it does."""
    if details.add(rows, documents):
        return True
    while len(rows) > 1:
        rows, documents = rows[: len(rows) // 2], documents[: len(documents) // 2]
        if details.add(rows, documents):
            break
    return False


def _document(job: JobDetail) -> bytes:
    latest = job.attempts[-1] if job.attempts else None
    reason = latest.reason if latest is not None and job.state is not JobState.SUCCEEDED else None
    detail = {
        "output": _output(latest) if latest is not None else "",
        "stale": job.state is JobState.STALE,
        "reason": _short(reason or ""),
        "tasks": [_task(task) for task in (latest.tasks if latest is not None else ())[:_MOST_PARTS]],
        "inputs": _pairs(job.inputs),
        "attempts": [_attempt(attempt) for attempt in job.attempts[-_MOST_PARTS:]],
        "source": job.source,
    }
    return orjson.dumps(_writable(detail))


def _output(attempt: AttemptDetail) -> str:
    text = attempt.output
    if not text and attempt.result_json is not None:
        text = value_as_text(attempt.result_json)
    return as_html(text) if text else ""


def _task(task: TaskResult) -> list[str]:
    time = "" if task.execution_time is None else words.duration(task.execution_time)
    return [task.task_id, task.agent or "", time, as_html(task.output or "")]


def _attempt(attempt: AttemptDetail) -> list[list[str]]:
    pairs = {
        "attempt": str(attempt.number),
        "state": attempt.state.value.replace("_", " "),
        "kickoff_id": attempt.kickoff_id or "",
        "kicked off (UTC)": words.moment(attempt.kicked_off_at) if attempt.kicked_off_at else "",
        "ended (UTC)": words.moment(attempt.ended_at) if attempt.ended_at else "",
        "duration": "" if attempt.execution_time is None else words.duration(attempt.execution_time),
        "tokens": "" if attempt.total_tokens is None else words.count(attempt.total_tokens),
        "reason": _short(attempt.reason or ""),
    }
    return [[name, value] for name, value in pairs.items() if value]


def _pairs(values: Mapping[str, Any]) -> list[list[str]]:
    pairs = [[name, _short(value_as_text(value))] for name, value in list(values.items())[:_MOST_VALUES]]
    return pairs + (
        [["…", words.plural(len(values) - _MOST_VALUES, "more input")]] if len(values) > _MOST_VALUES else []
    )


def _short(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]} … {words.plural(len(text) - _LONGEST_VALUE, 'more character')}"


def _writable(value: Any) -> Any:
    """Return a value without lone surrogates, which JSON in UTF-8 cannot have."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_writable(one) for one in value]
    return {name: _writable(one) for name, one in value.items()} if isinstance(value, dict) else value
