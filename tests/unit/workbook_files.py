"""Workbooks made of literal XML, with what no library writes: cached values, hidden rows, damage."""

import zipfile
from pathlib import Path

RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def sheet_xml(rows: str, *, before: str = "", after: str = "") -> str:
    """Return a sheet with these rows."""
    return f'<worksheet xmlns="{MAIN}">{before}<sheetData>{rows}</sheetData>{after}</worksheet>'


def row_xml(number: int, *cells: str, attributes: str = "") -> str:
    """Return a row; each cell is text, or XML that begins with `<c`."""
    parts = [cell if cell.startswith("<c") else f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in cells]
    return f'<row r="{number}" {attributes}>{"".join(parts)}</row>'


def write_workbook(
    path: Path,
    sheets: dict[str, str],
    *,
    strings: str | None = None,
    styles: str | None = None,
    hidden: tuple[str, ...] = (),
    properties: str = "",
) -> Path:
    """Write a workbook.

    Args:
        sheets: the XML of each sheet by its name.
        strings: the shared texts as XML, `<si><t>a</t></si>` …
        styles: the content of styles.xml.
        hidden: names of hidden sheets.
        properties: XML before the sheets, such as <workbookPr date1904="1"/>.
    """
    listed = relations = ""
    parts: dict[str, str] = {}
    for number, (name, xml) in enumerate(sheets.items(), start=1):
        state = ' state="hidden"' if name in hidden else ""
        listed += f'<sheet name="{name}" sheetId="{number}" r:id="s{number}"{state}/>'
        relations += f'<Relationship Id="s{number}" Type="{RELS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        parts[f"xl/worksheets/sheet{number}.xml"] = xml
    if strings is not None:
        relations += f'<Relationship Id="t" Type="{RELS}/sharedStrings" Target="/xl/sharedStrings.xml"/>'
        parts["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN}">{strings}</sst>'
    if styles is not None:
        relations += f'<Relationship Id="f" Type="{RELS}/styles" Target="styles.xml"/>'
        parts["xl/styles.xml"] = f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>'
    parts["xl/_rels/workbook.xml.rels"] = f"<Relationships>{relations}</Relationships>"
    parts["xl/workbook.xml"] = (
        f'<workbook xmlns="{MAIN}" xmlns:r="{RELS}">{properties}<sheets>{listed}</sheets></workbook>'
    )
    parts["_rels/.rels"] = (
        f'<Relationships><Relationship Id="w" Type="{RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in parts.items():
            package.writestr(name, text)
    return path
