"""Define the interface of a format of reports. `formats.py` lists the formats."""

from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from batchcrew.ledger import BatchKey
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.model.report import Report

Pieces: TypeAlias = AsyncIterable[str | bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSource:
    """The context of a report that a format may use in addition to its figures."""

    ledger: ReportReader
    key: BatchKey
    program: str = "batchcrew"
    """The program with which printed commands begin."""
    links: tuple[tuple[str, str], ...] = ()
    """Other files of this report: (format, path relative to this one), such as `("csv", "travel.csv")`."""
    outputs_limit: int | None = None
    """Most bytes of outputs to write into the report, for a format that has outputs; None: its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFormat:
    """A format of reports."""

    name: str
    """The value of `--format`."""
    suffix: str
    """Suffix of its files, with the dot."""
    write: Callable[[Report, ReportSource], Pieces]
    """Returns the report in pieces, so that a format which lists every job can be streamed."""
    to_file: bool = False
    """True: written to a file next to the ledger unless `--output` says otherwise; False: to stdout."""
