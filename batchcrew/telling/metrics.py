"""Write the figures of a run as OpenMetrics text, for the textfile collector of node_exporter."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

METRICS_SECONDS = 10.0
"""Shortest time between two writes during a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of the file."""

    batch: str
    run_id: str = ""
    version: str = ""
    jobs: Mapping[str, int] = field(default_factory=dict)
    """By state."""
    kickoffs: int = 0
    in_progress: int = 0
    slots: int | None = None
    tokens: int | None = None
    costs: Mapping[str, str] = field(default_factory=dict)
    """Plain decimal numbers by currency."""
    ended_at: float | None = None
    """Unix time of the run's end; None: it still runs."""
    exit_code: int | None = None


def metrics_text(figures: Figures) -> str:
    """Return the file's text. Figures that are not known are absent."""
    return "\n".join([*_lines(figures), "# EOF", ""])


def _lines(figures: Figures) -> Iterator[str]:
    batch = {"batch": figures.batch}
    yield from _metric(
        "run_info", "info", "The latest run.", [({**batch, "run": figures.run_id, "version": figures.version}, 1)]
    )
    yield from _metric(
        "jobs",
        "gauge",
        "Jobs by state.",
        [({**batch, "state": state}, number) for state, number in figures.jobs.items()],
    )
    yield from _metric("kickoffs", "gauge", "Kickoffs that a crew accepted in this run.", [(batch, figures.kickoffs)])
    yield from _metric("in_progress", "gauge", "Executions in progress.", [(batch, figures.in_progress)])
    if figures.slots is not None:
        yield from _metric("slots", "gauge", "Executions that may be in progress.", [(batch, figures.slots)])
    if figures.tokens is not None:
        yield from _metric("tokens", "gauge", "Tokens that this run used.", [(batch, figures.tokens)])
    if figures.costs:
        values = [({**batch, "currency": currency}, amount) for currency, amount in figures.costs.items()]
        yield from _metric("cost", "gauge", "What this run's kickoffs cost at least.", values)
    if figures.ended_at is not None:
        yield from _metric(
            "last_end_seconds", "gauge", "Unix time of the run's end.", [(batch, f"{figures.ended_at:.3f}")]
        )
    if figures.exit_code is not None:
        yield from _metric("exit_code", "gauge", "Exit code of the run.", [(batch, figures.exit_code)])


def _metric(name: str, kind: str, says: str, values: Sequence[tuple[Mapping[str, str], int | str]]) -> Iterator[str]:
    # node_exporter knows no `info`; a gauge of 1 means the same to both
    yield f"# HELP batchcrew_{name} {says}"
    yield f"# TYPE batchcrew_{name} {'gauge' if kind == 'info' else kind}"
    for labels, value in values:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"batchcrew_{name}{{{shown}}} {value}"


def _escaped(text: str) -> str:
    text = text.encode(errors="replace").decode().replace("\0", "")
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"').replace("\r", "")


def write_metrics(path: Path, text: str) -> None:
    """Replace the file with the text at once. Blocks.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o644)  # node_exporter is another user
            stream.write(text)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
