"""Determine the style of a format with delimiters: that of the input, changed by the options."""

import codecs
from dataclasses import dataclass, replace

from batchcrew.base.errors import UsageError
from batchcrew.base.text import one_line
from batchcrew.model.sheets import RowsLayout, SheetStyle
from batchcrew.reports.export.csv_format import has_bom

SHEETS = frozenset({"csv", "tsv"})
"""The formats that the options apply to."""
EXCEL = SheetStyle(delimiter="\t", encoding="utf-16-le", bom=True, line_end="\r\n")
"""A double click opens it in Excel, whatever the language of Windows or macOS: Excel takes the delimiter of other files
from the regional settings, and their encoding too, unless they have a byte order mark. With a line
`sep=;`, Excel ignores the mark."""
_WITHOUT_MARK = {
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16-le",
    "utf-32": "utf-32-le",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOptions:
    """The options about a format with delimiters; None: as the input."""

    delimiter: str | None = None
    encoding: str | None = None
    bom: bool | None = None
    excel: bool = False


def check_options(options: SheetOptions, format_: str, formulas: str | None) -> None:
    """Check that the options apply to the format, and to each other.

    Args:
        formulas: the value of `--formulas`; None: not given.

    Raises:
        UsageError: they do not.
    """
    given = [
        name
        for name, value in (
            ("--delimiter", options.delimiter),
            ("--encoding", options.encoding),
            ("--bom" if options.bom else "--no-bom", options.bom),
            ("--excel", options.excel or None),
            ("--formulas", formulas),
        )
        if value is not None
    ]
    if given and format_ not in SHEETS:
        raise UsageError(f"{given[0]} applies to the formats csv and tsv, not to {format_}")
    if options.excel and (others := [name for name in given if name not in {"--excel", "--formulas"}]):
        raise UsageError(f"--excel sets delimiter, encoding and byte order mark; remove {' and '.join(others)}")
    if format_ == "tsv" and options.delimiter not in {None, "\t"}:
        raise UsageError("--delimiter cannot be combined with the format tsv, which is separated by tabs; use -f csv")


def sheet_style(layouts: tuple[RowsLayout, ...], format_: str, options: SheetOptions) -> SheetStyle:
    """Return how the format is written.

    Args:
        layouts: of the batch's rows files; the first one with delimiters is the input.
        format_: `csv` or `tsv`.

    Raises:
        UsageError: an option's value is not valid.
    """
    given = next((one for one in layouts if one.format in SHEETS and one.layout), None)
    style = SheetStyle() if given is None else SheetStyle.from_json(given.layout)
    if options.excel:
        return replace(
            EXCEL,
            headers=style.headers,
            quote_all=style.quote_all,
            quote_headers=style.quote_headers,
            quoted=style.quoted,
        )
    if format_ == "tsv":
        delimiter = "\t"
    else:
        delimiter = options.delimiter or ("," if given is not None and given.format == "tsv" else style.delimiter)
    if style.sep_line is not None:
        style = replace(style, sep_line=style.sep_line[:-1] + delimiter)
    return _encoded(replace(style, delimiter=delimiter), options)


def _encoded(style: SheetStyle, options: SheetOptions) -> SheetStyle:
    if options.encoding is not None:
        encoding, bom = _codec(options.encoding)
        style = replace(style, encoding=encoding, bom=bom or (style.bom and encoding == style.encoding))
    if options.bom is not None:
        style = replace(style, bom=options.bom)
    if style.bom and not has_bom(style.encoding):
        raise UsageError(f"--bom requires a Unicode encoding such as utf-8 or utf-16, not {style.encoding}")
    return style


def _codec(encoding: str) -> tuple[str, bool]:
    """Return the codec that writes the encoding, and whether its files begin with a byte order mark.

    Raises:
        UsageError: the encoding is not supported.
    """
    try:
        "".encode(encoding)  # unlike codecs.lookup, this refuses codecs such as `hex`
    except (LookupError, ValueError):
        raise UsageError(
            f"unknown encoding: '{one_line(encoding)}' (expected e.g. utf-8, cp1252, latin-1 or utf-16)"
        ) from None
    name = codecs.lookup(encoding).name
    return _WITHOUT_MARK.get(name, name), name in _WITHOUT_MARK


def as_utf8(style: SheetStyle) -> SheetStyle:
    """Return the style with an encoding that holds every character."""
    return replace(style, encoding="utf-8", bom=True)


def holds_everything(style: SheetStyle) -> bool:
    """Return whether the encoding has every character."""
    return has_bom(style.encoding)


def parse_delimiter(text: str) -> str:
    """Return the delimiter that `,`, `;`, `tab`, `\\t` … means.

    Raises:
        UsageError: the text is not a delimiter.
    """
    if text.strip().casefold() in {"tab", "\\t"}:
        return "\t"
    if len(text) == 1 and text not in '"\r\n\0':
        return text
    raise UsageError(f"invalid --delimiter: '{one_line(text)}' (expected one character, or `tab`)")
