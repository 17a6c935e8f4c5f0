"""Open a workbook and yield the rows of one of its sheets."""

import posixpath
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batchcrew.base.xlsx.cells import EPOCH_1904, CellError, Value, cell_value
from batchcrew.base.xlsx.number_formats import BUILT_IN, GENERAL, NumberFormat, read_format
from batchcrew.base.xlsx.package import BINARY, DAMAGED, MAX_SHEET, OTHER_ZIP, Package, WorkbookError
from batchcrew.base.xlsx.shared_strings import SharedStrings
from batchcrew.base.xlsx.sheet import SheetStream
from batchcrew.base.xlsx.xml_stream import start_tags

_MOST_SHEETS = 10_000


@dataclass(frozen=True, slots=True)
class SheetInfo:
    """A sheet with cells."""

    name: str
    part: str
    hidden: bool


@dataclass(slots=True)
class SheetRow:
    """A row that has a cell with content."""

    number: int
    """From 1."""
    values: dict[int, Value]
    """Text and kind of each cell that is not empty, by its column from 1."""
    mistakes: dict[int, str] = field(default_factory=dict)
    """The reasons why cells have no value, by their column."""


class Workbook:
    """An open workbook. Close it after use."""

    def __init__(self, path: Path) -> None:
        """Open the file and read which sheets it has.

        Raises:
            WorkbookError: it is not a workbook.
            OSError: it cannot be read.
        """
        self._package = Package(path)
        try:
            self._main = self._find_main()
            self._days = 0
            self.sheets = self._read_sheets()
            """In the order of the tabs; at least one."""
            self._formats = self._read_formats()
        except BaseException:
            self._package.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._package.close()

    def __enter__(self) -> "Workbook":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_cells(self, sheet: SheetInfo) -> bool:
        """Return whether a sheet has a cell with content, as far as it can be read."""
        try:
            with self._package.part(sheet.part, most=MAX_SHEET) as stream:
                return next(SheetStream(stream).rows(), None) is not None
        except WorkbookError:
            return True

    @contextmanager
    def open_sheet(self, sheet: SheetInfo) -> Iterator["OpenSheet"]:
        """Open a sheet to read its rows."""
        with ExitStack() as opened:
            stream = opened.enter_context(self._package.part(sheet.part, most=MAX_SHEET))
            texts = self._related("sharedStrings")
            shared = None if texts is None else opened.enter_context(self._package.part(texts, most=MAX_SHEET))
            strings = SharedStrings(shared)
            opened.callback(strings.close)
            yield OpenSheet(SheetStream(stream), strings, self._formats, self._days)

    def _find_main(self) -> str:
        if "_rels/.rels" in self._package:
            for kind, _, target in self._relations("_rels/.rels", ""):
                if kind == "officeDocument" and target in self._package:
                    if target.endswith(".bin"):
                        raise WorkbookError(BINARY)
                    return target
        if "xl/workbook.xml" not in self._package:
            raise WorkbookError(OTHER_ZIP)
        return "xl/workbook.xml"

    def _relations(self, part: str, folder: str) -> list[tuple[str, str, str]]:
        """Return the kind, the id and the target of each relation of a part."""
        found = []
        with self._package.part(part) as stream:
            for name, given in start_tags(stream):
                if name == "Relationship" and given.get("TargetMode") != "External":
                    target = given.get("Target", "").replace("\\", "/")
                    target = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
                    kind = given.get("Type", "").rpartition("/")[2]
                    found.append((kind, given.get("Id", ""), posixpath.normpath(target)))
        return found

    def _main_relations(self) -> list[tuple[str, str, str]]:
        folder, name = posixpath.split(self._main)
        part = posixpath.join(folder, "_rels", f"{name}.rels")
        return self._relations(part, folder) if part in self._package else []

    def _related(self, kind: str) -> str | None:
        """Return the first part of this kind that the workbook names and has."""
        found = (target for given, _, target in self._main_relations() if given == kind)
        return next((target for target in found if target in self._package), None)

    def _read_sheets(self) -> tuple[SheetInfo, ...]:
        parts = {key: target for kind, key, target in self._main_relations() if kind == "worksheet"}
        found: list[SheetInfo] = []
        with self._package.part(self._main) as stream:
            for name, given in start_tags(stream):
                if name == "workbookPr" and given.get("date1904") in {"1", "true"}:
                    self._days = EPOCH_1904
                elif name == "sheet" and given.get("id", "") in parts and len(found) < _MOST_SHEETS:
                    hidden = given.get("state", "visible") != "visible"
                    found.append(SheetInfo(given.get("name", ""), parts[given["id"]], hidden))
        if not found:
            raise WorkbookError("the workbook has no sheet with cells")
        return tuple(found)

    def _read_formats(self) -> list[NumberFormat]:
        """Return the number format of each style."""
        part = self._related("styles")
        if part is None:
            return []
        codes: dict[str, str] = {}
        formats: list[NumberFormat] = []
        known: dict[str, NumberFormat] = {}
        section = ""
        with self._package.part(part) as stream:
            for name, given in start_tags(stream):
                if name in {"numFmts", "cellXfs", "cellStyleXfs", "cellStyles", "dxfs", "fonts", "fills", "borders"}:
                    section = name
                elif name == "numFmt" and section == "numFmts":
                    codes[given.get("numFmtId", "")] = given.get("formatCode", "")
                elif name == "xf" and section == "cellXfs":
                    key = given.get("numFmtId", "0")
                    if key not in known:
                        built_in = BUILT_IN.get(int(key), GENERAL) if key.isdecimal() else GENERAL
                        known[key] = read_format(codes[key]) if key in codes else built_in
                    formats.append(known[key])
        return formats


class OpenSheet:
    """A sheet whose rows are read."""

    def __init__(self, stream: SheetStream, strings: SharedStrings, formats: list[NumberFormat], days: int) -> None:
        self.stream = stream
        self._strings = strings
        self._formats = formats
        self._days = days

    def rows(self) -> Iterator[SheetRow]:
        """Yield the rows that have a cell with content, in order.

        Raises:
            WorkbookError: the sheet is damaged.
        """
        strings, formats, days = self._strings, self._formats, self._days
        number_of_formats = len(formats)
        for number, cells in self.stream.rows():
            values: dict[int, Value] = {}
            mistakes: dict[int, str] = {}
            for column, kind, style, text, formula in cells:
                try:
                    shown = formats[style] if style < number_of_formats else GENERAL
                    own = strings.get(_index(text)) if kind == "s" and text else text
                    value = cell_value(kind, own, formula=formula, shown=shown, days=days)
                except CellError as error:
                    mistakes[column] = str(error)
                    continue
                if value[0]:
                    values[column] = value
            if values or mistakes:
                yield SheetRow(number, values, mistakes)


def _index(text: str) -> int:
    if not text.strip().isdecimal() or len(text) > 12:
        raise WorkbookError(DAMAGED.format(reason=f"invalid number of a shared text: {text[:20]!r}"))
    return int(text)
