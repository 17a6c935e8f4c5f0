"""What `adopt` and `attach` do: take in executions that somebody else started, under their kickoff ids."""

import csv
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from batchcrew import __version__
from batchcrew.app.ingest import take_in
from batchcrew.app.wiring import Source, ledger_of, open_crews
from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import CrewUnusable, JobFileError, Problem, UsageError
from batchcrew.crew import wrong_kickoff_id
from batchcrew.engine import Stop
from batchcrew.jobfile import JobFile
from batchcrew.ledger import BatchKey, BatchLock, Ledger
from batchcrew.model.crew_answers import CrewInputs, NotSent, Unclear, Unusable
from batchcrew.model.events import Observe, Warned
from batchcrew.model.exit_codes import ExitCode
from batchcrew.model.job import Location

COLUMNS = ("job_id", "kickoff_id")

Pairs = Iterable[tuple[Location, str, str]]


def read_ids(path: Path) -> Iterator[tuple[Location, str, str]]:
    """(place, job_id, kickoff_id) of each row of a CSV with these two columns, UTF-8.

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
    """Take the job file in, and the executions of `ids` with it; returns how many. All of them or none.

    Raises:
        JobFileError: the job file, or a row of `ids`, is wrong.
        BatchBusy: a run holds the batch.
        CrewUnusable: a crew cannot be asked which columns it wants.
    """
    jobfile, settings = source.load()
    ledger = await ledger_of(jobfile, ledger, clock=clock, warn=lambda message: observe(Warned(message)))
    lock = BatchLock(ledger, jobfile.batch, since=to_text(clock.now()))
    async with lock, Ledger(ledger, clock=clock) as opened:
        warn = partial(_warn, observe)
        taken = await take_in(
            opened,
            jobfile,
            source=source,
            stop=stop,
            observe=observe,
            settings=settings,
            ask=partial(_ask, jobfile, ledger, clock, warn),
            program=program,
        )
        return await _attach(opened, taken.batch, read_ids(ids))


def _warn(observe: Observe, message: str) -> None:
    observe(Warned(message))


async def _ask(
    jobfile: JobFile, ledger: Path, clock: Clock, warn: Callable[[str], None], names: frozenset[str]
) -> dict[str, CrewInputs | None]:
    """Ask crews once for their inputs: what the batch sends from now on is decided by that, as executions are running.

    Raises:
        CrewUnusable: a crew does not answer.
    """
    async with open_crews(jobfile, concurrency=1, ledger=ledger, clock=clock, warn=warn, keep=False) as clients:
        answers = {name: await clients[name].inputs() for name in sorted(names)}
    for name, answer in answers.items():
        if isinstance(answer, Unusable | NotSent) or (isinstance(answer, Unclear) and answer.passing):
            raise CrewUnusable(
                f"crew {name} cannot be asked which columns it wants: {answer.reason}; nothing was adopted. Run the"
                " same command again later, or name the columns under `send:` in the job file"
            )
    return {name: answer if isinstance(answer, CrewInputs) else None for name, answer in answers.items()}


async def attach(batch: BatchKey, job_id: str, kickoff_id: str, *, ledger: Ledger, clock: Clock) -> None:
    """Say under which kickoff_id a job runs; the next run watches it.

    Raises:
        JobFileError, UsageError: the job cannot be attached to, or the id is none.
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
