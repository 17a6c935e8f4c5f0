"""Write a job file and a rows file for a crew that is new to you, for `batchcrew init`. Nothing is kicked off."""

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from batchcrew.app.doctor import crew_at
from batchcrew.app.wiring import Crews, open_clients
from batchcrew.base.clock import Clock
from batchcrew.base.errors import CrewUnusable, UsageError
from batchcrew.base.xlsx.writing import xlsxwriter
from batchcrew.config.crews import DEFAULT_CREW, CrewSettings, DemoCrew, RemoteCrew, ServedCrew, ServeSettings
from batchcrew.model.crew_answers import CrewInput, CrewInputs, Unclear
from batchcrew.reports.export.output import FileTarget
from batchcrew.reports.new_jobfile import (
    ROWS_NAME,
    ROWS_WORKBOOK,
    NewJobFile,
    batch_name_from,
    jobfile_text,
    literal_text,
    rows_text,
    rows_workbook,
)

JOBFILE_NAME = "jobs.yaml"
DEMO = "demo"
SERVED_URL = "${CREW_URL:-http://127.0.0.1:8000}"
"""The address of `batchcrew serve`, unless CREW_URL is set: that command prints it for another port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRequest:
    """The request of `init`: the files to write, and their folder."""

    target: str
    """A URL, or what `batchcrew serve` takes: a crew, or `demo`."""
    folder: Path
    token: str | None
    """None: that of the environment."""
    environ: Mapping[str, str]
    inputs: tuple[str, ...]
    """Names of inputs, for a crew that lists none."""
    force: bool
    """Replace files that exist."""
    workbook: bool = False
    """Write an Excel workbook instead of a CSV file."""
    program: str = "batchcrew"

    @property
    def rows_name(self) -> str:
        """The name of the rows file."""
        return ROWS_WORKBOOK if self.workbook else ROWS_NAME


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were written."""

    jobfile: Path
    rows: Path
    inputs: tuple[CrewInput, ...]
    needs_token: bool


async def init(request: InitRequest, *, clock: Clock, warn: Callable[[str], None]) -> Written:
    """Request the crew's inputs, and write the job file and the rows file. Both or none.

    Raises:
        UsageError: the target is not valid, or a file exists or cannot be written; or XlsxWriter is not installed.
        CrewUnusable: the crew does not list its inputs, and none were named.
        OutputError: the disk is full.
    """
    if request.workbook:
        xlsxwriter()  # before the crew is requested
    written = request.folder / JOBFILE_NAME, request.folder / request.rows_name
    await asyncio.to_thread(_require_free, request, written)
    crew = _crew(request)
    answer = await _inputs_of(crew, clock=clock, warn=warn)
    if not isinstance(answer, CrewInputs) and not request.inputs:
        raise CrewUnusable(
            f"the crew does not list its inputs: {answer.reason}; nothing was written. Examine it with"
            f" `{request.program} doctor`, or name its inputs: --input NAME"
        )
    listed = isinstance(answer, CrewInputs)
    inputs = answer.inputs if isinstance(answer, CrewInputs) else tuple(CrewInput(name=name) for name in request.inputs)
    new = _new_jobfile(request, crew, inputs, listed=listed)
    new = replace(new, rows=request.rows_name)
    rows = rows_workbook(inputs) if request.workbook else rows_text(inputs)
    await asyncio.to_thread(_write, {written[1]: rows, written[0]: jobfile_text(new)})
    return Written(*written, inputs, new.token)


def _require_free(request: InitRequest, paths: tuple[Path, ...]) -> None:
    existing = [path for path in paths if os.path.lexists(path)]
    if existing and not request.force:
        names = " and ".join(map(str, existing))
        raise UsageError(
            f"{names} exist{'s' if len(existing) == 1 else ''}; nothing was written. Name another folder with --dir, or"
            " replace with --force"
        )
    if os.path.lexists(request.folder) and not request.folder.is_dir():
        raise UsageError(f"--dir {request.folder} is not a folder; nothing was written")


def _crew(request: InitRequest) -> CrewSettings:
    """Return the crew to request the inputs from; one on this machine is served for that."""
    target = request.target.strip()
    if "://" in target:
        return crew_at(target, request.token, request.environ)
    if target == DEMO:
        return DemoCrew()
    return ServedCrew(serve=ServeSettings(target=target))


async def _inputs_of(crew: CrewSettings, *, clock: Clock, warn: Callable[[str], None]) -> CrewInputs | Unclear:
    """Return the crew's inputs; `Unclear` if it answers without them.

    Raises:
        CrewUnusable: it was not reached, or it refuses the token.
    """
    async with open_clients(Crews({DEFAULT_CREW: crew}, Path()), concurrency=1, clock=clock, warn=warn) as clients:
        answer = await clients[DEFAULT_CREW].inputs()
    if isinstance(answer, CrewInputs | Unclear):
        return answer
    raise CrewUnusable(f"{answer.reason}; nothing was written")


def _new_jobfile(
    request: InitRequest, crew: CrewSettings, inputs: tuple[CrewInput, ...], *, listed: bool
) -> NewJobFile:
    if isinstance(crew, RemoteCrew):
        return NewJobFile(
            batch=batch_name_from(_first_label(crew.url)),
            url=literal_text(crew.url),
            token=crew.token is not None,
            start="",
            inputs=inputs,
            listed=listed,
        )
    target = request.target.strip()
    return NewJobFile(
        batch=batch_name_from(target.rpartition(":")[2].rstrip("/").rpartition("/")[2]),
        url=SERVED_URL,
        token=True,
        start="batchcrew serve" + ("" if target == DEMO else f" {shlex.quote(target)}"),
        inputs=inputs,
        listed=listed,
    )


def _first_label(url: str) -> str:
    """Return the first part of a URL's host, `travel` of `https://travel.example.com`; an IP address as it is."""
    host = urlsplit(url).hostname or ""
    label = host.partition(".")[0]
    return host if label.isdecimal() else label


def _write(texts: Mapping[Path, str | bytes]) -> None:
    """Write the files; the job file is the last one, so that it never names a rows file that does not exist."""
    for folder in {path.parent for path in texts}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--dir {folder} cannot be created: {error.strerror}") from error
    files = [(FileTarget(path), text) for path, text in texts.items()]
    try:
        for file, text in files:
            file.open()
            file.write(text)
        for file, _ in files:
            file.finish()
    finally:
        for file, _ in files:
            file.close()
