"""Export a batch's results next to the columns of its file: the use case of `batchcrew export` and of `reports:`."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TextIO

from batchcrew.app.batches import one_fingerprint
from batchcrew.base.errors import OutputError, UsageError
from batchcrew.ledger import BatchKey, Reading
from batchcrew.model.job import JobState
from batchcrew.model.result_selection import ResultSelection
from batchcrew.model.sheets import Formulas, Header, RowsLayout
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import NotEncodable
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.flatten import MOST_COLUMNS, FlatAnswers
from batchcrew.reports.export.formats import EXPORT_FORMATS
from batchcrew.reports.export.groups import ARTIFACT_COLUMNS, DETAIL_COLUMNS, TOKEN_COLUMNS
from batchcrew.reports.export.output import null_stream
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.sheet_options import (
    SHEETS,
    SheetOptions,
    as_utf8,
    check_options,
    holds_everything,
    sheet_style,
)
from batchcrew.reports.export.summary_sheets import MOST_GROUPS, failures_sheet, summary_sheet
from batchcrew.reports.export.table import Column, ExtraSheet, Table, build_table, own_column, select_columns
from batchcrew.reports.export.types import Types
from batchcrew.reports.failures import FailuresView

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """The request of an export."""

    format: str
    """A name from EXPORT_FORMATS."""
    selection: ResultSelection = ResultSelection()  # noqa: RUF009 - it is frozen
    columns: tuple[str, ...] | None = None
    """The columns, in their order; None: all."""
    flatten: bool = False
    """Whether the keys of JSON answers are columns."""
    tokens: bool = False
    """Whether there are columns of tokens."""
    sheet: SheetOptions = SheetOptions()  # noqa: RUF009 - it is frozen
    formulas: Formulas | None = None
    """None: `escape`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The result of an export."""

    rows: int
    notes: tuple[str, ...] = ()
    """Sentences about anything unexpected in the export."""


async def export_batch(
    ledger: Reading,
    key: BatchKey,
    request: ExportRequest,
    *,
    path: Path | None,
    stdout: BinaryIO | TextIO,
    progress: Progress | None = None,
) -> Exported:
    """Write the selected jobs of a batch.

    Args:
        path: the file to write, which is replaced only once all is written; None: `stdout`.
        stdout: where to write without a `path`.
        progress: is called with the number of rows that are written so far.

    Raises:
        UsageError: the request contradicts itself, names a column that was not found, or cannot be written there.
        NotInLedger: the batch does not have a job, or a failure group, that the request names.
    """
    check_options(request.sheet, request.format, request.formulas)
    _check_selection(request.selection)
    return await _Export(ledger, key, request).run(path, stdout, progress)


def _names_artifacts(request: ExportRequest) -> bool:
    """Return whether the export has the column of files: they are read from the crews' answers only then."""
    known = {column.base for column in ARTIFACT_COLUMNS}
    return request.selection.artifacts or not known.isdisjoint(request.columns or ())


@dataclass(slots=True)
class _Export:
    ledger: Reading
    key: BatchKey
    request: ExportRequest

    async def run(self, path: Path | None, stdout: BinaryIO | TextIO, progress: Progress | None) -> Exported:
        request, notes = self.request, list[str]()
        selection = replace(request.selection, artifacts=_names_artifacts(request))
        if selection.fingerprint is not None:
            fingerprint = await one_fingerprint(self.ledger, self.key, selection.fingerprint)
            selection = replace(selection, fingerprint=fingerprint)

        def rows() -> AsyncIterator[ResultRow]:
            return self.ledger.results(self.key, selection=selection)

        table, flat = await self._table(rows)
        if flat is not None and flat.left_out:
            notes.append(
                f"some keys of JSON answers are only in the column output: their names are long, or there are more than"
                f" {MOST_COLUMNS}"
            )
        to_terminal = path is None and stdout.isatty()
        if request.format in SHEETS and not to_terminal and not holds_everything(table.style):
            try:
                await export(rows(), table, format=request.format, path=None, stdout=null_stream())
            except NotEncodable as error:
                notes.append(f"{error}; the export is UTF-8 with a byte order mark")
                table = replace(table, style=as_utf8(table.style))
        try:
            number = await export(rows(), table, format=request.format, path=path, stdout=stdout, progress=progress)
        except NotEncodable as error:
            raise OutputError(f"{error}, which came during the export; run the same command again") from error
        return Exported(rows=number, notes=tuple(notes))

    async def _table(self, rows: Callable[[], AsyncIterator[ResultRow]]) -> tuple[Table, FlatAnswers | None]:
        """Return the columns of the export. Reads all rows first where their columns or types depend on the rows."""
        request = self.request
        layouts = await self.ledger.rows_layouts(self.key)
        own, flat = await self._read_first(rows, layouts)
        groups: list[Column] = [*DETAIL_COLUMNS[request.selection.per]]
        groups += TOKEN_COLUMNS if request.tokens else ()
        groups += ARTIFACT_COLUMNS if _names_artifacts(request) else ()
        groups += flat.columns() if flat is not None else ()
        stale = bool((await self.ledger.counts(self.key)).stale)
        table = build_table(own, stale=stale, groups=groups)
        if request.columns is not None:
            table = select_columns(table, request.columns, () if request.tokens else TOKEN_COLUMNS)
        if EXPORT_FORMATS[request.format].has_sheets:
            given = (one.layout["sheet"] for one in layouts if "sheet" in one.layout)
            name = next(given, table.sheet_name)  # so that `sheet:` finds it in an export saved over the workbook
            table = replace(table, sheet_name=name, sheets=await self._further_sheets())
        if request.format in SHEETS:
            style = sheet_style(layouts, request.format, request.sheet)
            table = replace(table, style=style, formulas=request.formulas or "escape")
        return table, flat

    async def _further_sheets(self) -> tuple[ExtraSheet, ...]:
        """Return the summary and, if jobs have failed, the failure groups."""
        ledger, key = self.ledger, self.key
        line = (await ledger.status(key)).line
        groups = await ledger.failure_groups(key, MOST_GROUPS)
        if not groups.groups:
            return (summary_sheet(line),)
        details = [await ledger.group_detail(key, group) for group in groups.groups]
        view = FailuresView(batch=key.batch, ledger=str(ledger.path), program="batchcrew", counts=line.counts)
        return summary_sheet(line), failures_sheet(view, groups, details)

    async def _read_first(
        self, rows: Callable[[], AsyncIterator[ResultRow]], layouts: Sequence[RowsLayout]
    ) -> tuple[list[Column], FlatAnswers | None]:
        """Return the file's own columns, and those of JSON answers if these are requested."""
        request, chosen = self.request, EXPORT_FORMATS[self.request.format]
        flat = FlatAnswers() if request.flatten else None
        types = {name: Types() for name in self.key.columns} if _has_types(chosen, layouts) else {}
        if flat is not None or types:
            async for row in rows():
                if flat is not None:
                    flat.see(row)
                for name, value in row.row.items() if types else ():
                    if name in types:
                        types[name].see(value)
        headers = _headers(layouts)
        own = []
        for name in self.key.columns:
            header = headers.get(name)
            column = own_column(name, header=None if header is None else header.text)
            own.append(replace(column, type=types[name].type) if name in types else column)
        return own, flat


def _has_types(chosen: ExportFormat, layouts: Sequence[RowsLayout]) -> bool:
    """Return whether the format needs the types of the file's own columns, and they may differ from text."""
    return chosen.typed and not (layouts and all(one.format in SHEETS for one in layouts))


def _headers(layouts: Sequence[RowsLayout]) -> dict[str, Header]:
    """Return the headers of the first rows file that has recorded them."""
    for one in layouts:
        if "headers" in one.layout:
            return {name: Header(text=text) for name, (text, _) in one.layout["headers"].items()}
    return {}


def _check_selection(selection: ResultSelection) -> None:
    """Check that the conditions can be met together.

    Raises:
        UsageError: no job can meet them.
    """
    given = "--reason" if selection.reason is not None else "--fingerprint"
    if (selection.reason is not None or selection.fingerprint is not None) and selection.states:
        without = [state.value for state in selection.states if state in _WITHOUT_REASON]
        if without:
            raise UsageError(f"{given} cannot be combined with --state {without[0]}: such jobs have no reason")


_WITHOUT_REASON = frozenset({JobState.SUCCEEDED, JobState.STALE, JobState.WAITING})
