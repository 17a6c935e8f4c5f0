"""Examine crews that are new to you, for `batchcrew doctor`. No ledger is read or written.

An execution that `first_kickoff` starts belongs to no batch until you adopt it by its kickoff_id.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from batchcrew.app.staging import wanted_columns
from batchcrew.app.wiring import Crews, Source, open_clients
from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import UsageError
from batchcrew.base.similar import did_you_mean
from batchcrew.config.crews import DEFAULT_CREW, RemoteCrew
from batchcrew.config.money import price_text
from batchcrew.crew.examination import Examination
from batchcrew.crew.first_kickoff import FirstKickoff
from batchcrew.jobfile import JobFile, Problems, Sending
from batchcrew.jobfile.crews import token_mistake, url_mistake
from batchcrew.jobfile.variables import DOTENV, with_dotenv
from batchcrew.model.attempt import Attempt
from batchcrew.model.diagnosis import CrewExamination, Diagnosis, KickoffExamination, Level
from batchcrew.model.job import Job

BATCH = "doctor"
"""The batch in the `meta` of a kickoff that belongs to no job file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorTarget:
    """The crews to examine."""

    crews: Crews
    jobfile: JobFile | None = None
    """None: a URL was given."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings about the job file."""
        return self.jobfile.warnings if self.jobfile is not None else ()

    def only(self, name: str) -> "DoctorTarget":
        """Return the same target with a single crew.

        Raises:
            UsageError: it has no such crew.
        """
        settings = self.crews.settings
        if name not in settings:
            raise UsageError(f"crew not found: {name!r}{did_you_mean(name, settings)}")
        return replace(self, crews=replace(self.crews, settings={name: settings[name]}))


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstJob:
    """The kickoff that would be sent."""

    crew: str
    job_id: str
    inputs: Mapping[str, object]
    meta: Mapping[str, object] = field(default_factory=dict)
    batch: str
    from_file: bool
    """True: it is a job of the job file, which can adopt the execution."""
    price: str | None = None


def target_of_url(url: str, token: str | None, environ: Mapping[str, str]) -> DoctorTarget:
    """Return the crew at a URL; see `crew_at`."""
    return DoctorTarget(crews=Crews({DEFAULT_CREW: crew_at(url, token, environ)}, Path()))


def crew_at(url: str, token: str | None, environ: Mapping[str, str]) -> RemoteCrew:
    """Return the crew at a URL.

    Args:
        token: None: that of CREW_TOKEN, in the environment or in a `.env` in this folder; the crew may need none.

    Raises:
        UsageError: the URL or the token is not valid.
        JobFileError: the `.env` cannot be read.
    """
    url = url.strip()
    if mistake := url_mistake(url, url, "URL"):
        raise UsageError(mistake)
    if token is None:
        problems = Problems()
        token = with_dotenv(Path(DOTENV), environ, problems).get("CREW_TOKEN", "")
        problems.raise_if_any()
    token = token.strip()
    if token and (mistake := token_mistake(token, "the crew's token")):
        raise UsageError(mistake)
    return RemoteCrew(url=url, token=SecretStr(token) if token else None)


def target_of_jobfile(source: Source) -> DoctorTarget:
    """Return the crews of a job file.

    Raises:
        JobFileError: the job file is wrong.
    """
    jobfile, _ = source.load()
    return DoctorTarget(crews=Crews(jobfile.crews, jobfile.path.parent), jobfile=jobfile)


async def examine(target: DoctorTarget, *, clock: Clock, limit: float) -> tuple[CrewExamination, ...]:
    """Examine each crew, all at the same time, without an execution.

    Args:
        limit: longest time of one request, in seconds.

    Raises:
        UsageError: a crew cannot be served, or its token has characters that are not allowed in a header.
    """
    warnings: list[str] = []
    settings = target.crews.settings
    async with (
        open_clients(target.crews, concurrency=1, clock=clock, warn=warnings.append) as clients,
        asyncio.TaskGroup() as group,
    ):
        tasks = [
            group.create_task(
                Examination(client, keepalive=settings[name].keepalive, clock=clock, limit=limit).run(
                    name, settings[name].location
                )
            )
            for name, client in clients.items()
        ]
    return tuple(_with_warnings(task.result(), warnings) for task in tasks)


def _with_warnings(examined: CrewExamination, warnings: list[str]) -> CrewExamination:
    """Add the warnings of the crew's client, and those about the environment."""
    prefix, found = f"crew {examined.name}: ", []
    for text in warnings:
        if text.startswith(prefix) or not text.startswith("crew "):
            said, _, fix = text.removeprefix(prefix).partition("; ")
            found.append(Diagnosis("url" if text.startswith(prefix) else "proxy", Level.WARNING, said, fix))
    return replace(examined, diagnoses=(*examined.diagnoses, *found))


async def first_job(
    target: DoctorTarget, examined: tuple[CrewExamination, ...], given: Mapping[str, str] | None
) -> FirstJob:
    """Return the kickoff that would be sent: with the inputs that are given, else the first job of the job file.

    Raises:
        UsageError: inputs that the crew requires are missing, or several crews are possible.
        JobFileError: the first row is wrong.
    """
    jobfile, settings = target.jobfile, target.crews.settings
    if given is None and jobfile is not None:
        job = await asyncio.to_thread(_first_of, jobfile, target, examined)
        found = FirstJob(
            crew=job.crew, job_id=job.job_id, inputs=job.inputs, meta=job.meta, batch=jobfile.batch, from_file=True
        )
    else:
        if len(settings) > 1:
            raise UsageError("--input needs --crew: the job file has several crews")
        name = next(iter(settings))
        found = FirstJob(crew=name, job_id="doctor", inputs=dict(given or {}), batch=BATCH, from_file=False)
    inputs = next(each.inputs for each in examined if each.name == found.crew)
    missing = [name for name in (inputs.required if inputs else ()) if name not in found.inputs]
    if missing:
        add = " ".join(f"--input {name}=…" for name in missing)
        raise UsageError(f"nothing was kicked off: missing {_inputs(missing)} of crew {found.crew}; add {add}")
    return replace(found, price=price_text(settings[found.crew].price_list))


def _inputs(names: list[str]) -> str:
    return f"{'input' if len(names) == 1 else 'inputs'} {', '.join(map(repr, names))}"


def _first_of(jobfile: JobFile, target: DoctorTarget, examined: tuple[CrewExamination, ...]) -> Job:
    """Return the first job of these crews, with the columns that a run would send."""
    columns = {each.name: wanted_columns(each.inputs) for each in examined}
    sending = Sending({name: None if names == "all" else names for name, names in columns.items()})
    problems = Problems()
    for job in jobfile.jobs(problems, sending):
        if job.crew in target.crews.settings:
            problems.raise_if_any()
            return job
    problems.raise_if_any()
    raise UsageError(f"{jobfile.path} has no job for {' or '.join(target.crews.settings)}; nothing was kicked off")


@dataclass(frozen=True, slots=True, kw_only=True)
class KickoffLimits:
    """Times of one kickoff, in seconds."""

    request: float
    """Longest time of one status request."""
    execution: float
    """Time after which the execution is no longer watched."""


async def kick_off(
    target: DoctorTarget, job: FirstJob, limits: KickoffLimits, *, clock: Clock, report: Callable[[str], None]
) -> KickoffExamination:
    """Kick off exactly one execution, and return its results. The caller has obtained consent.

    Args:
        report: receives the attempt's id before the request is sent, and the kickoff_id as soon as it is known.
    """
    attempt = Attempt(
        attempt_id=str(uuid4()),
        batch=job.batch,
        job_key=0,
        job_id=job.job_id,
        crew=job.crew,
        number=1,
        attempts_used=1,
        inputs=job.inputs,
        meta=job.meta,
        intended_at=to_text(clock.now()),
    )
    crew = target.only(job.crew).crews
    async with open_clients(crew, concurrency=1, clock=clock, warn=lambda _: None) as clients:
        client = clients[job.crew]
        report(f"sending one kickoff to crew {job.crew} (attempt {attempt.attempt_id})")
        first = FirstKickoff(
            client=client,
            clock=clock,
            synchronous=client.answers_with_results,
            limit=limits.request,
            longest=limits.execution,
            accepted=lambda kickoff_id: report(f"kickoff_id: {kickoff_id}"),
        )
        return await first.run(attempt)


def can_be_adopted(target: DoctorTarget, job: FirstJob) -> bool:
    """Return whether the execution is one that a run of the job file can find again."""
    return job.from_file and isinstance(target.crews.settings[job.crew], RemoteCrew)
