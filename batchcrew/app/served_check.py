"""The report of `check` about a served crew: its details, how the job file serves it, and what may go wrong."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from batchcrew.app.wiring import artifacts_folder, served_log
from batchcrew.base.crew_details import DECLARED, CrewDetails, InputDetails
from batchcrew.config.crews import ServedCrew, ServeSettings
from batchcrew.config.settings import RunSettings
from batchcrew.jobfile import JobFile
from batchcrew.reports.served_crew import ServedCrewCheck

ROW = "row"
"""The source of an input that jobs name."""
_SHOWN = 10
"""Inputs that a warning names."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names that a crew's jobs use."""

    sent: Collection[str]
    """The inputs of its first jobs."""
    not_sent: Collection[str]
    """Columns that it is not sent."""


def served_crew_check(
    name: str, details: CrewDetails, columns: Columns, jobfile: JobFile, settings: RunSettings, ledger: Path
) -> ServedCrewCheck:
    """Return the report about a served crew."""
    crew = jobfile.crews[name]
    assert isinstance(crew, ServedCrew)  # noqa: S101 - no other crew has details
    serve = crew.serve
    details = replace(details, inputs=tuple(_with_row(one, columns.sent) for one in details.inputs))
    return ServedCrewCheck(
        details=details,
        memory=serve.memory,
        isolation=serve.isolation,
        workers=serve.workers,
        threads=1 if serve.isolation == "process" else serve.threads,
        artifacts=str(artifacts_folder(serve, jobfile.path.parent, ledger)),
        warnings=(
            *details.warnings,
            *_unknown_inputs(details, serve),
            *_unused_columns(details, columns.not_sent),
            *_human_input(details, jobfile, settings),
            *_shared(details, serve),
            *(_verbose(served_log(name, ledger)) if details.verbose else ()),
        ),
    )


def _with_row(one: InputDetails, sent: Collection[str]) -> InputDetails:
    return replace(one, sources=(ROW, *one.sources)) if one.name in sent else one


def _unknown_inputs(details: CrewDetails, serve: ServeSettings) -> Iterator[str]:
    """Yield a warning about declared inputs that the crew does not name."""
    if details.open_inputs:
        return
    given = {name for name, value in serve.inputs.items() if value is not None}
    unknown = [one.name for one in details.inputs if one.name in given and set(one.sources) <= {DECLARED, ROW}]
    if unknown:
        known = [one.name for one in details.inputs if one.name not in unknown]
        yield f"{DECLARED} names {_listed(unknown)}, which the {details.what} does not use; it uses {_listed(known)}"


def _unused_columns(details: CrewDetails, not_sent: Collection[str]) -> Iterator[str]:
    if not_sent and not details.open_inputs:
        columns = "column" if len(not_sent) == 1 else "columns"
        yield f"the {details.what} does not use the {columns} {_listed(list(not_sent))}"


def _human_input(details: CrewDetails, jobfile: JobFile, settings: RunSettings) -> Iterator[str]:
    waiting = [one.name for one in details.tasks if one.human_input]
    if not waiting:
        return
    notified = settings.human.webhook is not None or any("waiting" in one.on for one in jobfile.telling.receivers)
    tasks = ("task " if details.what == "crew" else "method ") + _listed(waiting)
    yield (
        f"{tasks} waits for human input: answer it while the run lasts (`run --wait`), because executions of a served"
        " crew end with it" + ("" if notified else "; no one is notified (`notify:`, `run.human.webhook`)")
    )


def _shared(details: CrewDetails, serve: ServeSettings) -> Iterator[str]:
    if details.memory and serve.memory == "shared":
        yield "memory: shared: a row can be answered from other rows' data; `memory: isolated` prevents it"


def _verbose(log: Path) -> Iterator[str]:
    yield f"verbose: prompts and answers of all rows are written to {log}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
