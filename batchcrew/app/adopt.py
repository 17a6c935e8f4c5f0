"""Record executions that batchcrew did not start, by their kickoff ids, for `batchcrew adopt` and `attach`."""

import csv
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from batchcrew import __version__
from batchcrew.app.ingest import IngestRequest, ingest
from batchcrew.app.staging import stated_inputs
from batchcrew.app.wiring import Source, ledger_of, open_crews
from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import CrewUnusable, JobFileError, Problem, UsageError
from batchcrew.crew import wrong_kickoff_id
from batchcrew.engine import Stop
from batchcrew.jobfile import JobFile
from batchcrew.ledger import BatchKey, BatchLock, Ledger
from batchcrew.model.crew_answers import CrewInputs
from batchcrew.model.events import Observe, Warned
from batchcrew.model.exit_codes import ExitCode
from batchcrew.model.job import Location

COLUMNS = ("job_id", "kickoff_id")

Pairs = Iterable[tuple[Location, str, str]]


def read_ids(path: Path) -> Iterator[tuple[Location, str, str]]:
    """Yield (place, job_id, kickoff_id) of each row of a CSV with these two columns, in UTF-8.

    Raises:
        JobFileError: a column is missing, or a row is missing one of the two values.
        UsageError: it cannot be read.
    """
    name = str(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                message = f"missing column {' and '.join(missing)} (expected header: job_id,kickoff_id)"
                raise JobFileError([Problem(file=name, line=1, message=message)])
            for row in rows:
                job_id, kickoff_id = ((row[column] or "").strip() for column in COLUMNS)
                where = Location(name, rows.line_num)
                wrong = "has more cells than the header" if None in row else _wrong(job_id, kickoff_id)
                if wrong is not None:
                    raise JobFileError([Problem(file=name, line=where.line, message=f"the row {wrong}")])
                yield where, job_id, kickoff_id
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name} cannot be read as CSV in UTF-8: {error}") from error


def _wrong(job_id: str, kickoff_id: str) -> str | None:
    wrong = wrong_kickoff_id(kickoff_id)
    if wrong is not None:
        return f"has a kickoff_id {wrong}"
    return None if job_id else "has no job_id"


async def adopt(
    source: Source,
    ids: Path,
    *,
    ledger: Path | None,
    stop: Stop,
    clock: Clock,
    observe: Observe,
    program: str = "batchcrew",
) -> int:
    """Ingest the job file, and record the executions of `ids`; return how many. Either all of them are recorded, or
    none.

    Raises:
        JobFileError: the job file, or a row of `ids`, is wrong.
        BatchBusy: a run holds the batch.
        CrewUnusable: a crew whose inputs decide its columns was not reached.
    """
    jobfile, settings = source.load()
    ledger = await ledger_of(jobfile, ledger, clock=clock, warn=lambda message: observe(Warned(message)))
    lock = BatchLock(ledger, jobfile.batch, since=to_text(clock.now()))
    async with lock, Ledger(ledger, clock=clock) as opened:
        warn = partial(_warn, observe)
        ingested = await ingest(
            opened,
            IngestRequest(jobfile=jobfile, source=source, settings=settings, program=program),
            stop=stop,
            observe=observe,
            request_inputs=partial(_request_inputs, jobfile, ledger, clock, warn),
        )
        return await _attach(opened, ingested.batch, read_ids(ids))


def _warn(observe: Observe, message: str) -> None:
    observe(Warned(message))


async def _request_inputs(
    jobfile: JobFile, ledger: Path, clock: Clock, warn: Callable[[str], None], names: frozenset[str]
) -> dict[str, CrewInputs | None]:
    """Request the inputs of these crews once.

    Raises:
        CrewUnusable: a crew was not reached. Executions are running, so the decision cannot wait.
    """
    async with open_crews(jobfile, concurrency=1, ledger=ledger, clock=clock, warn=warn, keep=False) as clients:
        answers = {name: await clients[name].inputs() for name in sorted(names)}
    stated = stated_inputs(answers)
    for name, answer in answers.items():
        if name not in stated and not isinstance(answer, CrewInputs):
            raise CrewUnusable(
                f"crew {name} did not list its inputs, which decide the columns that it is sent: {answer.reason};"
                " nothing was adopted. Run the same command again later, or name the columns under `send:` in the job"
                " file"
            )
    return stated


async def attach(batch: BatchKey, job_id: str, kickoff_id: str, *, ledger: Ledger, clock: Clock) -> None:
    """Record that a job runs under this kickoff_id; the next run watches it.

    Raises:
        JobFileError, UsageError: the job cannot be attached to, or the id is invalid.
        BatchBusy: a run holds the batch.
    """
    assert ledger.path is not None  # noqa: S101 - opened by its path
    kickoff_id = kickoff_id.strip()
    wrong = _wrong(job_id, kickoff_id)
    if wrong is not None:
        raise UsageError(f"the command {wrong}; copy the id from the vendor's dashboard")
    async with BatchLock(ledger.path, batch.batch, since=to_text(clock.now())):
        await _attach(ledger, batch, [(Location(batch.batch), job_id, kickoff_id)])


async def _attach(ledger: Ledger, batch: BatchKey, pairs: Pairs) -> int:
    run_id = await ledger.open_run(
        batch.id, pid=os.getpid(), host=socket.gethostname(), version=__version__, kind="attach"
    )
    number = await ledger.attach(batch, run_id, pairs)
    await ledger.close_run(run_id, kickoffs=0, stopped=None, exit_code=int(ExitCode.SUCCEEDED))
    return number
