"""What a row of the table opens to: the job's inputs, tasks, attempts and output, in blocks that are read on demand.

The blocks take at most a given number of bytes. Jobs that need attention come first, then those at the beginning of
the file; the page refers to an export for the others.
"""

import asyncio
import base64
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from batchcrew.base.errors import NotInLedger
from batchcrew.ledger import BatchKey, Reading
from batchcrew.model.execution import TaskResult
from batchcrew.model.job import JobState
from batchcrew.model.views import AttemptDetail, JobDetail
from batchcrew.reports.html import words
from batchcrew.reports.html.markdown import as_html, value_as_text

MOST_JOBS = 20_000
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
    size: int = 0
    blocks: list[tuple[IO[bytes], int]] = field(default_factory=list)
    """Each in base64, and its bytes of JSON."""
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By job_id: the number of its block, and its place there."""

    def add(self, job_ids: list[str], details: list[bytes]) -> bool:
        """Add a block; return whether it fits, so that another one may be added."""
        document = b"[" + b",".join(details) + b"]"
        encoded = base64.b64encode(zlib.compress(document, 6, wbits=31))
        if self.size + len(encoded) > self.limit:
            return False
        data = tempfile.SpooledTemporaryFile(max_size=2**16)  # noqa: SIM115 - the page reads it
        data.write(encoded)
        for place, job_id in enumerate(job_ids):
            self.places[job_id] = (len(self.blocks), place)
        self.blocks.append((data, len(document)))
        self.size += len(encoded)
        return True


async def read_details(ledger: Reading, key: BatchKey, *, limit: int) -> Details:
    """Read the details of as many jobs as fit.

    Args:
        limit: most bytes of the blocks in the page.
    """
    details = Details(limit)
    job_ids: list[str] = []
    documents: list[bytes] = []
    for job_id in await ledger.jobs_of_interest(key, MOST_JOBS) if limit > 0 else ():
        try:
            job = await ledger.job(key, job_id)
        except NotInLedger:  # deleted meanwhile
            continue
        documents.append(await asyncio.to_thread(_document, job))
        job_ids.append(job_id)
        if sum(map(len, documents)) >= BLOCK_BYTES:
            if not await asyncio.to_thread(_add, details, job_ids, documents):
                return details
            job_ids, documents = [], []
    if job_ids:
        await asyncio.to_thread(_add, details, job_ids, documents)
    return details


def _add(details: Details, job_ids: list[str], documents: list[bytes]) -> bool:
    """Add a block; one that does not fit is added as far as it does."""
    if details.add(job_ids, documents):
        return True
    while len(job_ids) > 1:
        job_ids, documents = job_ids[: len(job_ids) // 2], documents[: len(documents) // 2]
        if details.add(job_ids, documents):
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
    tokens = (attempt.token_usage or {}).get("total_tokens")
    pairs = {
        "attempt": str(attempt.number),
        "state": attempt.state.value.replace("_", " "),
        "kickoff_id": attempt.kickoff_id or "",
        "kicked off (UTC)": words.moment(attempt.kicked_off_at) if attempt.kicked_off_at else "",
        "ended (UTC)": words.moment(attempt.ended_at) if attempt.ended_at else "",
        "duration": "" if attempt.execution_time is None else words.duration(attempt.execution_time),
        "tokens": words.count(tokens) if isinstance(tokens, int) else "",
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
