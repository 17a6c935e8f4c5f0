"""The job file's argument, and the options that control how it is read."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from batchcrew.app.batches import known_batch
from batchcrew.app.ledger_location import Search, find_ledger, is_here, recorded_day, recorded_place, shown
from batchcrew.app.wiring import BatchOptions, Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import DEFAULT_LEDGER
from batchcrew.base.text import one_line
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import existing, jobfile_ledger_option, option
from batchcrew.cli.settings import settings_options
from batchcrew.config.settings import settings_with_option
from batchcrew.jobfile import JobFileOptions
from batchcrew.ledger import LedgerReader, RecordedJobFile
from batchcrew.reports.commands import quoted

_SOURCE_OPTIONS = [
    option("--crew-url", help="The crew's URL; overrides the job file. Default for a rows file: $CREW_URL."),
    option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds the crew's token. The token itself is never an option, because `ps` would show it.",
    ),
    option("--encoding", help="Encoding of CSV and TSV files. Default: UTF-8."),
    option("--delimiter", help="Delimiter of CSV files. Default: detected."),
    option("--sheet", help="Sheet of Excel workbooks. Default: the first one that is not hidden."),
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


@dataclass(frozen=True, slots=True)
class Target:
    """The job file that a command works on."""

    source: Source
    ledger: Path | None
    """The ledger, if it is known before the job file is read."""


def jobfile_options(
    *, consent: bool = False, settings: bool = False
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the argument JOBFILE and the options that control how it is read; the command gets them as `target`.

    Args:
        consent: also add the options that allow succeeded jobs to be paid for again.
        settings: also add the options that override settings of `run:`.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_target(*, jobfile: Path | None, ledger: Path | None, **options: Any) -> int:
            names = settings_with_option() if settings else ()
            overrides = {name: value for name in names if (value := options.pop(name)) is not None}
            target = _target(jobfile, ledger, options, overrides)
            return command(target=target, **options)

        decorated: Callable[..., int] = with_target
        if settings:
            decorated = settings_options(decorated)
        for add in reversed([*_SOURCE_OPTIONS, *(_CONSENT_OPTIONS if consent else []), jobfile_ledger_option]):
            decorated = add(decorated)
        return click.argument("jobfile", required=False, type=click.Path(path_type=Path))(decorated)

    return decorate


def _target(jobfile: Path | None, ledger: Path | None, options: dict[str, Any], overrides: dict[str, Any]) -> Target:
    """Return the target of a command, and remove the options that it is made of.

    The environment is read here and nowhere else.

    Raises:
        UsageError: neither a job file nor a batch is named.
        NotInLedger: the ledger does not have the batch.
    """
    batch: str | None = options.pop("named_batch")
    token_file, given_day = options.pop("token_file"), options.pop("date")
    reading = {name: options.pop(name) for name in ("crew_url", "encoding", "delimiter", "sheet", "allow_outside")}
    allowed = {name: options.pop(name, False) for name in ("take_over", "rerun_changed", "accept_changes")}
    path, day = jobfile, recorded_day(None, batch or "")
    if path is None:
        if batch is None:
            raise UsageError("missing JOBFILE (or --batch with the name of a batch in the ledger)")
        ledger = existing(ledger or find_ledger(Search.here()) or Path(DEFAULT_LEDGER))
        if not is_here(ledger):
            say(f"ledger: {one_line(str(ledger))}")
        recorded = call(_recorded(ledger, batch))
        path, day = shown(recorded_place(recorded, ledger)), recorded_day(recorded, batch)
    today = datetime.now().astimezone().date() if day is None else date.fromisoformat(day)
    source = Source(
        path=path,
        environ=environment(),
        today=given_day.date() if given_day else today,
        options=JobFileOptions(crew_token=read_token(token_file), token_file=token_file, **reading),
        overrides=overrides,
        batch=BatchOptions(name=batch, **allowed),
        given=tuple(_given(ledger, reading | {"token_file": token_file})),
    )
    return Target(source, ledger)


def _given(ledger: Path | None, options: dict[str, Any]) -> Iterator[str]:
    for name in ("crew_url", "token_file", "encoding", "delimiter", "sheet"):
        if options[name] is not None:
            yield f"--{name.replace('_', '-')} {quoted(str(options[name]))}"
    if options["allow_outside"]:
        yield "--allow-outside"
    if ledger == Path(DEFAULT_LEDGER):  # all other options are part of every command
        yield f"--ledger {DEFAULT_LEDGER}"


async def _recorded(path: Path, batch: str) -> RecordedJobFile:
    async with LedgerReader(path, clock=SystemClock(), any_schema=True) as ledger:
        recorded = await ledger.recorded_jobfile(batch)
        if recorded is None:
            await known_batch(ledger, batch)  # raises
        assert recorded is not None  # noqa: S101 - there is such a batch
        return recorded


def environment() -> dict[str, str]:
    """Return the variables of the environment, for `${VAR}` in a job file."""
    return dict(os.environ)


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
