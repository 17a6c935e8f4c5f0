"""`batchcrew doctor`."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import click

from batchcrew.app.doctor import (
    DoctorTarget,
    FirstJob,
    KickoffLimits,
    can_be_adopted,
    examine,
    first_job,
    kick_off,
    target_of_jobfile,
    target_of_url,
)
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import parse_duration
from batchcrew.base.text import clean_text, one_line
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import json_option, option
from batchcrew.cli.output import print_report, terminal_columns
from batchcrew.cli.program import current_program
from batchcrew.cli.prompt import agreed, at_a_terminal
from batchcrew.cli.sources import read_token
from batchcrew.jobfile import JobFileOptions
from batchcrew.model import exit_codes
from batchcrew.model.diagnosis import CrewExamination, KickoffExamination
from batchcrew.reports.as_json import json_document
from batchcrew.reports.doctor import adopt_hint, doctor_json, render_examinations, render_kickoff

_NOTHING = "nothing was kicked off"


@click.command()
@click.argument("target", metavar="URL|JOBFILE")
@option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that holds the crew's token. Default: $CREW_TOKEN, or what the job file says.",
)
@option("--crew", "crew_name", envvar="BATCHCREW_CREW", help="Examine only this crew of the job file.")
@option("--request-timeout", default="20s", show_default=True, help="Maximum time of one request.")
@option(
    "--kickoff",
    is_flag=True,
    help="Pay for exactly one execution, with the inputs of the first job, to learn the rest: the status path, the"
    " status words, and where results are.",
)
@option(
    "--input",
    "inputs",
    multiple=True,
    envvar="BATCHCREW_INPUT",
    metavar="NAME=VALUE",
    help="With --kickoff: an input of the kickoff, instead of those of the first job; can be repeated.",
)
@option("--kickoff-timeout", default="10m", show_default=True, help="With --kickoff: how long to watch the execution.")
@option("-y", "--yes", is_flag=True, help="With --kickoff: start the execution without a confirmation prompt.")
@json_option
def command(
    *,
    target: str,
    token_file: Path | None,
    crew_name: str | None,
    request_timeout: str,
    kickoff: bool,
    inputs: tuple[str, ...],
    kickoff_timeout: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Examine the crew at URL, or each crew of JOBFILE, and print one line for each check, with its fix.

    The checks are: reachable, proxy, TLS, token, inputs, the paths of the crew API, latency, clock, keep-alive, and
    whether webhooks can come back. Without --kickoff, nothing is started or paid for. No ledger is used: an execution
    of --kickoff belongs to no batch; `batchcrew adopt` assigns it to its job.

    Exit 0 if runs can work, also with warnings; 5 if a crew has a problem.
    """
    limits = KickoffLimits(
        request=_duration("--request-timeout", request_timeout),
        execution=_duration("--kickoff-timeout", kickoff_timeout),
    )
    given = _inputs(inputs)
    if given is not None and not kickoff:
        raise UsageError("--input is for --kickoff; add --kickoff, or omit --input")
    if kickoff and not yes and not at_a_terminal():
        raise UsageError(f"--kickoff pays for one execution; add --yes to agree without a terminal ({_NOTHING})")
    crews = _target(target, token_file)
    crews = crews if crew_name is None else crews.only(crew_name)
    for warning in crews.warnings:
        say(f"warning: {one_line(warning)}")
    clock = SystemClock()
    examined = call(examine(crews, clock=clock, limit=limits.request))
    if not as_json:
        print_report(render_examinations(examined, width=terminal_columns()))
    result: KickoffExamination | None = None
    notes: list[str] = []
    if kickoff:
        result, notes = _kickoff(crews, examined, given, limits, yes=yes)
    if as_json:
        click.echo(json_document(doctor_json(examined, result, notes)))
    else:
        if result is not None:
            print_report(render_kickoff(result, width=terminal_columns()))
        for note in notes:
            print_report(note)
    has_problem = any(each.has_problem for each in examined) or (result is not None and result.has_problem)
    return exit_codes.of_doctor(has_problem=has_problem)


def _kickoff(
    crews: DoctorTarget,
    examined: Sequence[CrewExamination],
    given: Mapping[str, str] | None,
    limits: KickoffLimits,
    *,
    yes: bool,
) -> tuple[KickoffExamination | None, list[str]]:
    """Kick off one execution after consent; return what it shows, and sentences about what to do with it."""
    clock = SystemClock()
    job = call(first_job(crews, tuple(examined), given))
    if any(each.has_problem for each in examined if each.name == job.crew):
        return None, [f"{_NOTHING}: the crew has a problem"]
    if not yes and not agreed(_question(job), _NOTHING):
        raise UsageError(_NOTHING)
    result = call(kick_off(crews, job, limits, clock=clock, report=lambda text: say(one_line(text))))
    return result, _notes(crews, job, result)


def _question(job: FirstJob) -> str:
    what = f"the inputs of job {clean_text(job.job_id)}" if job.from_file else "these inputs"
    price = "" if job.price is None else f" for {job.price}"
    return f"Kick off one execution of crew {clean_text(job.crew)} with {what}{price}?"


def _notes(crews: DoctorTarget, job: FirstJob, result: KickoffExamination) -> list[str]:
    if result.kickoff_id is None or crews.jobfile is None or not can_be_adopted(crews, job):
        return []
    hint = adopt_hint(str(crews.jobfile.path), job.job_id, result.kickoff_id, program=current_program())
    return [f"so that job {clean_text(job.job_id)} is not paid for again: {hint}"]


def _target(target: str, token_file: Path | None) -> DoctorTarget:
    environ, token = dict(os.environ), read_token(token_file)
    if "://" in target:
        return target_of_url(target, token, environ)
    options = JobFileOptions(crew_token=token, token_file=token_file)
    today = datetime.now().astimezone().date()
    return target_of_jobfile(Source(path=Path(target), environ=environ, today=today, options=options))


def _inputs(texts: Sequence[str]) -> dict[str, str] | None:
    """Return the inputs of `--input`; None if there are none."""
    if not texts:
        return None
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"invalid --input: {text!r} (expected NAME=VALUE)")
        found[name.strip()] = value
    return found


def _duration(name: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error
    if not seconds:
        raise UsageError(f"{name}: invalid duration: {text!r} (expected more than 0s)")
    return seconds
