"""The job file's argument, and the options that control how it is read."""

import os
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from batchcrew.app.ledger_location import Search, find_ledger, is_here, recorded_day, recorded_place, shown
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import DEFAULT_LEDGER
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import existing, known_batch, option
from batchcrew.ledger import LedgerReader, RecordedJobFile
from batchcrew.reports.commands import quoted

Command = TypeVar("Command", bound=Callable[..., Any])

_SOURCE_OPTIONS = [
    option("--crew-url", help="The crew's URL; overrides the job file. Default for a rows file: $CREW_URL."),
    option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds the crew's token. The token itself is never an option, because `ps` would show it.",
    ),
    option("--encoding", help="Encoding of CSV and TSV files. Default: UTF-8."),
    option("--delimiter", help="Delimiter of CSV files. Default: detected."),
    option(
        "--date",
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="YYYY-MM-DD",
        help="Value of {date} in the job file, to finish an earlier day's batch. Default: today.",
    ),
    option("--allow-outside", is_flag=True, help="Allow `rows:` to name files outside the job file's folder."),
    option(
        "--batch",
        "named_batch",
        envvar="BATCHCREW_BATCH",
        help="Name of a batch in the ledger; its own job file and date are used if JOBFILE is omitted.",
    ),
    option(
        "--take-over",
        is_flag=True,
        help="If a batch of the same name belongs to another job file, let this job file take it over.",
    ),
]
_CONSENT_OPTIONS = [
    option(
        "--rerun-changed",
        is_flag=True,
        help="Run stale jobs (succeeded, but their inputs have changed since) again, and pay for them again.",
    ),
    option(
        "--accept-changes",
        is_flag=True,
        help="Accept a plan that pays again for more succeeded jobs than run.plan_guard allows.",
    ),
]


def source_options(command: Command) -> Command:
    """Add the job file's argument and the options that control how it is read."""
    for decorate in reversed(_SOURCE_OPTIONS):
        command = decorate(command)
    return click.argument("jobfile", required=False, type=click.Path(path_type=Path))(command)


def consent_options(command: Command) -> Command:
    """Add the options that allow succeeded jobs to be paid for again."""
    for decorate in reversed(_CONSENT_OPTIONS):
        command = decorate(command)
    return command


def source(
    jobfile: Path | None, ledger: Path | None, options: dict[str, Any], overrides: dict[str, Any]
) -> tuple[Source, Path | None]:
    """Return the `Source` of a command's arguments, and the ledger where it is known by now.

    The environment is read here and nowhere else.

    Raises:
        UsageError: neither a job file nor a batch is named.
        NotInLedger: the ledger does not have the batch.
    """
    batch: str | None = options["named_batch"]
    path, day = jobfile, recorded_day(None, batch or "")
    if path is None:
        if batch is None:
            raise UsageError("missing JOBFILE (or --batch with the name of a batch in the ledger)")
        ledger = existing(ledger or find_ledger(Search.here()) or Path(DEFAULT_LEDGER))
        if not is_here(ledger):
            say(f"ledger: {ledger}")
        recorded = call(_recorded(ledger, batch))
        path, day = shown(recorded_place(recorded, ledger)), recorded_day(recorded, batch)
    today = datetime.now().astimezone().date() if day is None else date.fromisoformat(day)
    made = Source(
        path=path,
        environ=dict(os.environ),
        today=options["date"].date() if options["date"] else today,
        crew_url=options["crew_url"],
        crew_token=read_token(options["token_file"]),
        encoding=options["encoding"],
        delimiter=options["delimiter"],
        allow_outside=options["allow_outside"],
        overrides={name: value for name, value in overrides.items() if value is not None},
        batch=batch,
        take_over=options["take_over"],
        rerun_changed=options.get("rerun_changed", False),
        accept_changes=options.get("accept_changes", False),
        given=tuple(_given(ledger, options)),
    )
    return made, ledger


def _given(ledger: Path | None, options: dict[str, Any]) -> Iterator[str]:
    for name in ("crew_url", "token_file", "encoding", "delimiter"):
        if options[name] is not None:
            yield f"--{name.replace('_', '-')} {quoted(str(options[name]))}"
    if options["allow_outside"]:
        yield "--allow-outside"
    if ledger == Path(DEFAULT_LEDGER):  # any other one is part of every command
        yield f"--ledger {DEFAULT_LEDGER}"


async def _recorded(path: Path, batch: str) -> RecordedJobFile:
    async with LedgerReader(path, clock=SystemClock(), any_schema=True) as ledger:
        recorded = await ledger.recorded_jobfile(batch)
        if recorded is None:
            await known_batch(ledger, batch)  # raises
        assert recorded is not None  # noqa: S101 - there is such a batch
        return recorded


def read_token(file: Path | None) -> str | None:
    """Read the token from a file.

    Raises:
        UsageError: it cannot be read or is empty.
    """
    if file is None:
        return None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: {error}") from error
    if not token:
        raise UsageError(f"--token-file {file}: the file is empty; write the crew's token into it")
    return token
