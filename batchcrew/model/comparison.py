"""Two batches compared: yesterday's and today's rows, matched by their job_id."""

from dataclasses import dataclass

from batchcrew.model.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """Jobs of both batches that were in one state before and are in another one now."""

    before: str
    after: str
    jobs: int
    examples: tuple[str, ...] = ()
    """The first job ids, in the order of the later batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    """One job whose state or output differs."""

    job_id: str
    before: str
    """Its state in the earlier batch."""
    after: str
    outputs_differ: bool
    """Both succeeded, with different outputs."""
    same_inputs: bool
    reason: str | None = None
    """Why it has not succeeded in the later batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsCompared:
    """The jobs of two batches, matched by their job_id; jobs that are no longer in their file are omitted."""

    matched: int = 0
    """Jobs of both batches."""
    same_inputs: int = 0
    """Of `matched`."""
    changes: tuple[StateChange, ...] = ()
    """The most frequent first."""
    outputs_compared: int = 0
    """Jobs that succeeded in both batches."""
    outputs_differ: int = 0
    """Of `outputs_compared`."""
    outputs_differ_with_same_inputs: int = 0
    added: int = 0
    """Jobs of the later batch only."""
    added_jobs: tuple[str, ...] = ()
    """The first ones."""
    removed: int = 0
    """Jobs of the earlier batch only."""
    removed_jobs: tuple[str, ...] = ()
    rows: tuple[ChangedRow, ...] = ()
    """The first rows that differ, in the order of the later batch."""
    more_rows: int = 0
    """Rows that differ and are not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two batches compared."""

    before: Report
    after: Report
    rows: RowsCompared
