"""Decide which columns each crew is sent, and stage the job file with them: the same steps in `run` and in `check`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from batchcrew.app.crew_names import crew_groups
from batchcrew.base.errors import JobFileError, Problem
from batchcrew.base.export_columns import MARK
from batchcrew.jobfile import EVERYTHING, JobFile, Problems, Sending
from batchcrew.ledger import BatchKey, Duplicate, Reading, SentColumns, Staged
from batchcrew.model.crew_answers import CrewInputs, NotSent, Unclear, Unusable

T = TypeVar("T")
InputsAnswer: TypeAlias = CrewInputs | Unusable | NotSent | Unclear
RequestInputs: TypeAlias = Callable[[frozenset[str]], Awaitable[Mapping[str, CrewInputs | None]]]
"""Requests the inputs of these crews. None: the crew answers and lists none. A crew that was not reached is missing."""


@dataclass(frozen=True, slots=True)
class StagedWithColumns(Generic[T]):
    """A job file that was staged with the columns that each crew is sent."""

    staged: T
    sending: Sending
    sent_columns: SentColumns
    """The decision for each crew, to be recorded with the batch."""
    undecided: frozenset[str]
    """Crews that were not reached: they are staged with all columns until they list their inputs."""


async def stage_with_columns(
    ledger: Reading,
    jobfile: JobFile,
    known: BatchKey | None,
    *,
    stage: Callable[[Sending], Awaitable[T]],
    request: RequestInputs,
) -> StagedWithColumns[T]:
    """Decide which columns each crew is sent, and stage the job file with them.

    The file is staged before a crew is contacted, so that a wrong file is reported first. It is staged again only if a
    crew turns out to want other columns.

    Args:
        known: the batch as the ledger has recorded it; None: a new one.
        stage: stages the job file with these columns.
        request: requests the inputs of crews whose columns neither the job file nor the ledger decides.
    """
    recorded = await _recorded_columns(ledger, jobfile, known)
    sending = _sending(known, recorded)
    staged = await stage(sending)
    open_ = _undecided(jobfile, recorded)
    if not open_:
        return StagedWithColumns(staged, sending, recorded, open_)
    answers = await request(open_)
    sent_columns = {**recorded, **{crew: wanted_columns(answer) for crew, answer in answers.items()}}
    first, sending = sending, _sending(known, sent_columns)
    sending.found(first)
    if any(sending.differs_from_all(crew) for crew in answers):
        staged = await stage(sending)
    return StagedWithColumns(staged, sending, sent_columns, open_.difference(answers))


async def undecided_crews(ledger: Reading, jobfile: JobFile, known: BatchKey) -> frozenset[str]:
    """Return the crews of a batch whose columns are not decided: they have never listed their inputs."""
    return _undecided(jobfile, await _recorded_columns(ledger, jobfile, known))


def _undecided(jobfile: JobFile, recorded: SentColumns) -> frozenset[str]:
    return frozenset() if EVERYTHING in recorded else jobfile.undecided_crews.difference(recorded)


async def send_everything(crews: frozenset[str]) -> Mapping[str, CrewInputs | None]:
    """Answer for crews without a request, as if they listed no inputs: they are sent all columns."""
    return dict.fromkeys(crews)


def stated_inputs(answers: Mapping[str, InputsAnswer]) -> dict[str, CrewInputs | None]:
    """Return the inputs of the crews that answered. None: the crew lists none; a crew that was not reached is missing.

    A crew that fails for now was not reached: its next answer may list inputs.
    """
    return {
        name: answer if isinstance(answer, CrewInputs) else None
        for name, answer in answers.items()
        if isinstance(answer, CrewInputs) or (isinstance(answer, Unclear) and not answer.passing)
    }


async def _recorded_columns(ledger: Reading, jobfile: JobFile, known: BatchKey | None) -> SentColumns:
    """Return the recorded columns of the batch's crews; a crew that was renamed keeps those of its former name."""
    recorded: SentColumns = (known.sent_columns if known else None) or {}
    missing = jobfile.undecided_crews.difference(recorded)
    groups = await crew_groups(ledger, jobfile) if recorded and missing else {}
    columns_by_crew = dict(recorded)
    for crew in missing:
        for former, columns in recorded.items():
            if former not in jobfile.crews and groups.get(former) == groups.get(crew, crew):
                columns_by_crew[crew] = columns
    return columns_by_crew


def _sending(known: BatchKey | None, sent_columns: SentColumns) -> Sending:
    columns = {crew: None if names == "all" else names for crew, names in sent_columns.items()}
    return Sending(columns, exported=known is not None and MARK in known.columns)


def wanted_columns(answer: CrewInputs | None) -> list[str] | Literal["all"]:
    """Return the columns that a crew wants: all of them if it lists no inputs."""
    return [entry.name for entry in answer.inputs] if answer is not None and answer.inputs else "all"


def without_mistakes(staged: Staged, problems: Problems) -> Staged:
    """Return `staged` if the job file has no mistake.

    Raises:
        JobFileError: the job file has mistakes, or two jobs have the same id.
    """
    problems.raise_if_any()
    if staged.duplicates:
        raise JobFileError(
            [
                Problem(
                    file=found.again.file,
                    line=found.again.line,
                    column=found.again.column,
                    message=_duplicate_message(found),
                )
                for found in staged.duplicates
            ]
        )
    return staged


def _duplicate_message(found: Duplicate) -> str:
    first, again = found.first, found.again
    if not found.identical:
        return (
            f"duplicate job id {found.job_id!r} (first used at {first.file}:{first.line}); each job needs its own id"
            " (an `id` column, or `id:` in the job file)"
        )
    same = f"rows {first.line} and {again.line} are identical"
    if first.file != again.file:
        same = f"this row and {first.file}:{first.line} are identical"
    return (
        f"{same} (the same crew and inputs, and no id); give each row an id, or write `duplicates: skip` or"
        " `duplicates: number` in the `rows` entry of the job file"
    )


def skipped_note(number: int) -> str:
    """Return how many rows `duplicates: skip` has omitted, as a sentence."""
    return f"{number} {'row is' if number == 1 else 'rows are'} skipped: identical to an earlier row"
