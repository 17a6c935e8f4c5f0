"""Write a workbook as a stream. Text is always written as text: nothing in it is a formula, a link or XML.

Cells are made by `text_cell`, `number_cell` …, without their place, and rows are written at once.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from batchcrew.base.xlsx.cells import number_text, serial
from batchcrew.base.xlsx.number_formats import BOOLEAN, DATE, DATETIME, DURATION, NUMBER, TIME, Kind
from batchcrew.base.xlsx.places import column_letters, quoted_sheet
from batchcrew.base.xlsx.sheet import MAX_COLUMNS, MAX_ROWS

MAX_TEXT = 32_767
"""Maximum length of a cell's text, in UTF-16 code units."""
_LEVEL = 4
_MOST_NAME = 31
_MOST_BYTES = 1_900_000_000
"""Size of an unpacked sheet after which the next one begins: beyond 2 GiB, Excel does not open it."""
_PENDING = 2**20
"""Number of characters that are kept before they are compressed."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
_RARE = re.compile(_SPECIAL.pattern.replace("&<>", "", 1))
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?", re.IGNORECASE)
_MOST_DIGITS = 15
"""Digits of a number that spreadsheet programs keep: a longer one is written as text."""


class Style(IntEnum):
    """The formats of cells that a workbook of ours has."""

    GENERAL = 0
    TEXT = 1
    WRAPPED = 2
    HEADER = 3
    DATE = 4
    DATETIME = 5
    TIME = 6
    DURATION = 7
    INPUT = 8


# (number format, font, fill, alignment)
_STYLES: Mapping[Style, tuple[int, int, int, str]] = {
    Style.GENERAL: (0, 0, 0, ""),
    Style.TEXT: (49, 0, 0, ""),
    Style.WRAPPED: (49, 0, 0, ' wrapText="1"'),
    Style.HEADER: (49, 1, 2, ""),
    Style.DATE: (164, 0, 0, ""),
    Style.DATETIME: (165, 0, 0, ""),
    Style.TIME: (166, 0, 0, ""),
    Style.DURATION: (46, 0, 0, ""),
    Style.INPUT: (49, 0, 3, ' wrapText="1"'),
}
_FORMATS = {164: "yyyy\\-mm\\-dd", 165: "yyyy\\-mm\\-dd\\ hh:mm:ss", 166: "hh:mm:ss"}
_OF_KIND = {DATE: Style.DATE, DATETIME: Style.DATETIME, TIME: Style.TIME, DURATION: Style.DURATION}
_TEXT_HEADS = {style: f'" s="{style.value}" t="inlineStr"><is><t' for style in Style}
EMPTY = ""
"""A cell without content."""


def text_cell(text: str, style: Style = Style.TEXT) -> str:
    """Return a cell with text, without characters that XML does not have. `fitting` cuts longer texts before."""
    if not text:
        return EMPTY if style is not Style.INPUT else f'" s="{style.value}"/>'
    if _SPECIAL.search(text):
        if _RARE.search(text):
            text = _SPECIAL.sub(_escaped, text)
            if not text:
                return EMPTY
        else:
            text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    space = ' xml:space="preserve"' if text[0].isspace() or text[-1].isspace() else ""
    return f"{_TEXT_HEADS[style]}{space}>{text}</t></is></c>"


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found.startswith("_x"):  # Excel would read `_x0041_` as `A`
        return f"_x005F{found}"
    return _ESCAPES.get(found, "\ufffd" if "\ud800" <= found <= "\udfff" else "")


def fitting(text: str, note: str) -> str:
    """Return a text that fits into a cell: cut, with a note at its end.

    Args:
        note: what to write at the end of a text that is cut; `{length}` is the number of its characters.
    """
    if len(text) <= MAX_TEXT // 2 or (len(text) <= MAX_TEXT and _units(text) <= MAX_TEXT):
        return text
    end = note.format(length=f"{len(text):,}")
    kept = text[: MAX_TEXT - len(end)]
    while (over := _units(kept) + len(end) - MAX_TEXT) > 0:
        kept = kept[: -max(1, over // 2)]
    return kept + end


def _units(text: str) -> int:
    return len(text) + sum(1 for character in text if character > "\uffff") if not text.isascii() else len(text)


def number_cell(text: str) -> str:
    """Return a cell with a number; with text, if it is not one or has more digits than spreadsheet programs keep."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        return text_cell(text)
    if len(text) > _MOST_DIGITS and len(text.lstrip("-")) > _MOST_DIGITS and text.lstrip("-").isdecimal():
        return text_cell(text)
    return f'"><v>{text}</v></c>'


def typed_cell(text: str, kind: Kind) -> str:
    """Return a cell with a value of this kind; with text, if the value is not of the kind."""
    if not text:
        return EMPTY
    if kind == NUMBER:
        same = _NUMBER.fullmatch(text) and math.isfinite(float(text)) and number_text(repr(float(text))) == text
        return f'"><v>{text}</v></c>' if same else text_cell(text)
    if kind == BOOLEAN and text in {"true", "false"}:
        return f'" t="b"><v>{int(text == "true")}</v></c>'
    style = _OF_KIND.get(kind)
    number = None if style is None else serial(text, kind)
    if style is None or number is None:
        return text_cell(text)
    return f'" s="{style.value}"><v>{number}</v></c>'


@dataclass(frozen=True, slots=True)
class SheetColumn:
    """A column of a sheet."""

    header: str
    width: float
    """In characters."""
    choices: tuple[str, ...] = ()
    """Values that the cells below the header offer as a list; others are refused."""


@dataclass(slots=True)
class _Open:
    """The sheet that is being written."""

    stream: IO[bytes]
    name: str
    columns: Sequence[SheetColumn]
    letters: list[str]
    rows: int = 0
    pending: list[str] = field(default_factory=list)
    characters: int = 0
    """Of `pending`."""
    size: int = 0
    """Number of bytes that are written."""


class WorkbookWriter:
    """Writes sheets one after the other."""

    def __init__(self, write: Callable[[bytes], None], *, level: int = _LEVEL) -> None:
        """Begin a workbook.

        Args:
            write: takes the bytes of the file in order.
            level: compression, from 1 to 9.
        """
        self._zip = ZipFile(_Sink(write), "w", ZIP_DEFLATED, compresslevel=level)
        self._names: list[str] = []
        self._filters: list[str] = []
        """The cells of each sheet that have a filter; LibreOffice finds filters by them."""
        self._open: _Open | None = None

    @property
    def full(self) -> bool:
        """Whether no further row fits into the sheet."""
        sheet = self._open
        return sheet is not None and (sheet.rows >= MAX_ROWS or sheet.size >= _MOST_BYTES)

    def begin_sheet(self, name: str, columns: Sequence[SheetColumn]) -> None:
        """Begin a sheet, after the end of the one before, and write its header.

        Args:
            name: it is changed where a workbook cannot have it: too long, or the name of an earlier sheet.
            columns: at most MAX_COLUMNS.

        Raises:
            ValueError: there are too many columns.
        """
        if len(columns) > MAX_COLUMNS:
            raise ValueError(f"{len(columns):,} columns (a sheet has at most {MAX_COLUMNS:,})")
        self._end_sheet()
        name = _free_name(name, self._names)
        self._names.append(name)
        part = ZipInfo(f"xl/worksheets/sheet{len(self._names)}.xml", _EARLIEST)
        part.compress_type = ZIP_DEFLATED
        letters = [column_letters(number) for number in range(1, len(columns) + 1)]
        # without zip64, which Excel does not read in parts whose size comes after them
        self._open = _Open(self._zip.open(part, "w"), name, columns, letters)
        widths = "".join(
            f'<col min="{number}" max="{number}" width="{column.width}" customWidth="1"/>'
            for number, column in enumerate(columns, start=1)
        )
        selected = ' tabSelected="1"' if len(self._names) == 1 else ""
        self._open.pending.append(
            f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView{selected} workbookViewId="0">'
            '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
            f'<sheetFormatPr defaultRowHeight="15"/>{f"<cols>{widths}</cols>" if widths else ""}<sheetData>'
        )
        self.row([text_cell(column.header, Style.HEADER) for column in columns])

    def row(self, cells: Sequence[str], *, height: float | None = None) -> None:
        """Write a row.

        Args:
            cells: made by `text_cell` and the like.
            height: in points; None: one line.
        """
        sheet = self._open
        assert sheet is not None  # noqa: S101 - a sheet was begun
        sheet.rows = number = sheet.rows + 1
        tall = "" if height is None else f' ht="{height}" customHeight="1"'
        content = "".join(
            [f'<c r="{letters}{number}{cell}' for letters, cell in zip(sheet.letters, cells, strict=False) if cell]
        )
        sheet.pending.append(f'<row r="{number}"{tall}>{content}</row>')
        sheet.characters += len(content) + len(tall) + 20
        if sheet.characters >= _PENDING:
            self._flush(sheet)

    def close(self) -> None:
        """End the workbook."""
        self._end_sheet()
        for name, text in _parts(self._names, self._filters).items():
            part = ZipInfo(name, _EARLIEST)
            part.compress_type = ZIP_DEFLATED
            self._zip.writestr(part, text)
        self._zip.close()

    def _flush(self, sheet: _Open) -> None:
        data = "".join(sheet.pending).encode()
        sheet.stream.write(data)
        sheet.size += len(data)
        sheet.pending.clear()
        sheet.characters = 0

    def _end_sheet(self) -> None:
        sheet, self._open = self._open, None
        if sheet is None:
            return
        end = "</sheetData>"
        if sheet.columns:
            end += f'<autoFilter ref="A1:{sheet.letters[-1]}{sheet.rows}"/>'
            self._filters.append(f"{quoted_sheet(sheet.name)}!$A$1:${sheet.letters[-1]}${sheet.rows}")
        else:
            self._filters.append("")
        rules = [
            f'<dataValidation type="list" allowBlank="1" showErrorMessage="1" errorTitle="{_attribute(column.header)}"'
            f' error="{_attribute("Choose one of: " + ", ".join(column.choices))}" sqref="{letters}2:{letters}{rows}">'
            f'<formula1>"{_attribute(",".join(column.choices))}"</formula1></dataValidation>'
            for letters, column in zip(sheet.letters, sheet.columns, strict=True)
            if column.choices and (rows := max(2, sheet.rows))
        ]
        if rules:
            end += f'<dataValidations count="{len(rules)}">{"".join(rules)}</dataValidations>'
        sheet.pending.append(f"{end}</worksheet>")
        self._flush(sheet)
        sheet.stream.close()


class _Sink:
    """The file that zipfile writes to: it is only appended to."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        self._write(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _free_name(name: str, taken: Sequence[str]) -> str:
    """Return a name that a sheet next to these can have; programs compare names in any case."""
    plain = "".join(character for character in name if character.isprintable() and character not in "[]:*?/\\")
    plain = plain.strip("' ") or "Sheet"
    known = {other.casefold() for other in taken}
    for number in count(1):
        end = "" if number == 1 else f" {number}"
        found = plain[: _MOST_NAME - len(end)] + end
        if found.casefold() not in known:
            return found
    raise AssertionError("numbers do not end")


def _attribute(text: str) -> str:
    return _SPECIAL.sub(_escaped, text).replace('"', "&quot;")


def _parts(names: Sequence[str], filters: Sequence[str]) -> dict[str, str]:
    """Return the parts of a workbook other than its sheets."""
    numbers = range(1, len(names) + 1)
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        for number in numbers
    )
    sheets = "".join(
        f'<sheet name="{_attribute(name)}" sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(names, start=1)
    )
    relations = "".join(
        f'<Relationship Id="rId{number}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    defined = "".join(
        f'<definedName name="_xlnm._FilterDatabase" localSheetId="{number}" hidden="1">{_attribute(cells)}'
        "</definedName>"
        for number, cells in enumerate(filters)
        if cells
    )
    return {
        "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>{types}</Types>',
        "_rels/.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}">'
        f"<bookViews><workbookView/></bookViews><sheets>{sheets}</sheets>"
        f"{f'<definedNames>{defined}</definedNames>' if defined else ''}</workbook>",
        "xl/_rels/workbook.xml.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{relations}'
        f'<Relationship Id="styles" Type="{_RELATIONS}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": _styles(),
    }


def _styles() -> str:
    formats = "".join(f'<numFmt numFmtId="{key}" formatCode="{code}"/>' for key, code in _FORMATS.items())
    fills = "".join(
        f'<fill><patternFill patternType="solid"><fgColor rgb="{colour}"/></patternFill></fill>'
        for colour in ("FFE7ECF3", "FFFFF8DC")
    )
    xfs = "".join(
        f'<xf numFmtId="{number}" fontId="{font}" fillId="{fill}" borderId="0" xfId="0" applyNumberFormat="1"'
        f' applyFont="1" applyFill="1" applyAlignment="1"><alignment vertical="top"{alignment}/></xf>'
        for _, (number, font, fill, alignment) in sorted(_STYLES.items())
    )
    font = '<sz val="11"/><name val="Calibri"/><family val="2"/>'
    return (
        f'{_HEAD}<styleSheet xmlns="{_MAIN}"><numFmts count="{len(_FORMATS)}">{formats}</numFmts>'
        f'<fonts count="2"><font>{font}</font><font><b/>{font}</font></fonts>'
        '<fills count="4"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/>'
        f"</fill>{fills}</fills>"
        '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(_STYLES)}">{xfs}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )
