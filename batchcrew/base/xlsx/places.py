"""Names of places in a workbook: `Leads!B5`, as spreadsheet programs write them."""

import re

_PLAIN = re.compile(r"[^\W\d][\w.]*")


def column_letters(number: int) -> str:
    """Return the letters of a column, `AB` for 28."""
    letters = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def quoted_sheet(name: str) -> str:
    """Return the name of a sheet in quotes, to be followed by `!` and a cell."""
    return "'" + name.replace("'", "''") + "'"


def cell_place(sheet: str, row: int, column: int = 0) -> str:
    """Return a cell's name, `'My leads'!B5`; without a column, that of the row's first cell."""
    name = sheet if _PLAIN.fullmatch(sheet) else quoted_sheet(sheet)
    return f"{name}!{column_letters(column or 1)}{row}"
