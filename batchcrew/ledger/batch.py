"""A batch as the ledger has recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

SentColumns: TypeAlias = Mapping[str, list[str] | Literal["all"]]
"""The names of the columns that are sent to each crew, by its name; `*` is every crew that is not named."""


@dataclass(frozen=True, slots=True)
class BatchKey:
    """A batch, and the ledger's record of its job file."""

    id: int
    batch: str
    digest: str | None
    columns: tuple[str, ...]
    jobfile: str
    jobfile_path: str | None = None
    """Absolute; None if an earlier version of batchcrew recorded the job file."""
    sent_columns: SentColumns | None = None
    """None until it is decided."""


@dataclass(frozen=True, slots=True)
class RecordedJobFile:
    """The job file that a batch belongs to, as the ledger has recorded it."""

    given: str
    """The path as it was typed, relative to a folder that is not recorded."""
    path: str | None = None
    """Absolute, links not resolved; None if an earlier version of batchcrew recorded the job file."""
    from_ledger: str | None = None
    """Relative to the ledger's folder."""
    date: str | None = None
    """The value of `{date}`, as YYYY-MM-DD; None if the job file does not use it."""
