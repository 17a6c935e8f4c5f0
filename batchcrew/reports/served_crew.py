"""The report of `check` about a served crew, as text and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from batchcrew.base.crew_details import AgentDetails, CrewDetails, ModelDetails
from batchcrew.base.quantities import format_size
from batchcrew.base.text import clean_text, display_width, wrap

_LABEL = 13
"""Columns of a label and the blanks after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCrewCheck:
    """A served crew, and how the job file serves it."""

    details: CrewDetails
    memory: str
    """`isolated`, `shared` or `off`."""
    isolation: str
    workers: int
    threads: int
    artifacts: str
    """The folder for the files of tasks."""
    warnings: tuple[str, ...] = ()


def served_crew_json(check: ServedCrewCheck | None) -> dict[str, Any] | None:
    """Return the fields of `CrewDetails` and of `ServedCrewCheck` as JSON; None for a crew that is not served.

    `{"what", "folder", "interpreter", "python", "crewai", "memory_bytes", "models", "agents", "tasks", "inputs",
    "memory", "memory_mode", "isolation", "workers", "threads", "artifacts", "verbose", "warnings"}`.
    """
    if check is None:
        return None
    details = asdict(check.details)
    del details["open_inputs"]
    return {
        **details,
        "memory_mode": check.memory,
        "isolation": check.isolation,
        "workers": check.workers,
        "threads": check.threads,
        "artifacts": check.artifacts,
        "warnings": list(check.warnings),
    }


def served_crew_lines(check: ServedCrewCheck, width: int) -> Iterator[str]:
    """Yield the lines about a served crew, which fit into `width` columns."""
    details = check.details
    for label, texts in (
        ("project", [details.folder]),
        ("python", [_python(details)]),
        ("models", [_model(one) for one in details.models] or ["none found"]),
        ("agents", [_agent(one) for one in details.agents]),
        ("inputs", [f"{one.name}: {', '.join(one.sources)}" for one in details.inputs]),
        ("memory", [_memory(check)]),
        ("human input", [", ".join(one.name for one in details.tasks if one.human_input) or "none"]),
        ("files", [f"{one.output_file} (task {one.name})" for one in details.tasks if one.output_file] or ["none"]),
        ("workers", [_workers(check)]),
        ("warning", check.warnings),
    ):
        if label == "files" and any(one.output_file for one in details.tasks):
            texts = [*texts, f"below {check.artifacts}"]
        yield from _labelled(label, texts, width)


def _python(details: CrewDetails) -> str:
    return f"{details.python}, crewai {details.crewai or 'of an unknown version'}, {details.interpreter}"


def _model(model: ModelDetails) -> str:
    where = f" at {model.host}" if model.host else ""
    return f"{model.name} ({model.provider}){where}" + (f": {', '.join(model.used_by)}" if model.used_by else "")


def _agent(agent: AgentDetails) -> str:
    return f"{agent.role}: " + (f"tools {', '.join(agent.tools)}" if agent.tools else "no tools")


def _memory(check: ServedCrewCheck) -> str:
    if not check.details.memory:
        return "none"
    effect = {
        "isolated": "isolated: empty for each execution",
        "shared": "shared by the executions of a worker",
        "off": "off: switched off by the job file",
    }.get(check.memory, check.memory)
    return f"{effect} ({', '.join(check.details.memory)})"


def _workers(check: ServedCrewCheck) -> str:
    each = "1 worker" if check.workers == 1 else f"{check.workers} workers"
    places = "an execution alone in each" if check.isolation == "process" else f"{check.threads} executions in each"
    size = check.details.memory_bytes
    memory = f"; {format_size(size)} of memory each after loading, {format_size(size * check.workers)} together"
    return f"{each}, {places}" + (memory if size else "")


def _labelled(label: str, texts: Sequence[str], width: int) -> Iterator[str]:
    """Yield each text next to the label, broken between words."""
    room = max(20, width - 4 - _LABEL)
    first = True
    for text in texts:
        clean = clean_text(text)
        parts = [clean] if display_width(clean) <= room else [*wrap(clean, room)]
        for number, part in enumerate(parts):
            shown = f"{label}:" if first or (label == "warning" and number == 0) else ""
            yield f"    {shown:<{_LABEL}}{part}"
            first = False
