"""Spreadsheets as people and programs really write them, and their records."""

import csv
import io

from batchcrew.jobfile.rows.sheet_style import RawLines

SHEETS: dict[str, tuple[bytes, dict[str, str]]] = {
    "semicolon and cp1252": (
        "Name;Stadt;Betrag\r\nMüller;Köln;1.234,50\r\nGroß;Ulm;-5,00\r\n".encode("cp1252"),
        {"encoding": "cp1252"},
    ),
    "utf-16 with tabs": (
        b"\xff\xfe" + "id\tname\tnote\r\n1\tZoë\t\"a\tb\"\r\n2\t東京\t\r\n".encode("utf-16-le"),
        {"encoding": "utf-16"},
    ),
    "utf-16, the other byte order": (
        b"\xfe\xff" + "id,name\r\n1,Zoë\r\n".encode("utf-16-be"),
        {"encoding": "utf-16"},
    ),
    "byte order mark": ("\ufeffid,name\r\n1,Zoë\r\n2,Ana\r\n".encode(), {}),
    "CRLF": (b'id,name\r\n1,"x\r\ny"\r\n2,z\r\n', {}),
    "line of Excel": (b"sep=;\r\nid;name\r\n1;a\r\n2;\"b;c\"\r\n", {}),
    "all quoted": (b'"id","name"\n"1","a ""b"""\n"2",""\n"3","c, d"\n', {}),
    "text quoted, numbers not": (b'"id","name","n"\n1,"a",5\n2,"b",\n3,,7\n4,"c ""d""",8\n', {}),
    "line ends and quotes": (b'id,a,b\n1,"x\ny","say ""hi"""\n2,"line\r\nbreak"," padded "\n3,5" pipe,it\'s\n', {}),
    "numbers and dates as text": (
        b"zip,phone,card,date,sum,share\n00501,+4930123,4111111111111111,03/04/2026,1E5,=1+1\n01234,-,000,1-2,-5,@x\n",
        {},
    ),
    "columns without a name, or with the same": (b"name,name, name ,,\nx,y,z,,\na,b,c,d,e\n", {}),
    "no line end at the end": (b"id,name\n1,a\n2,b", {}),
    "quoted now and then": (b'id,name\n1,"a"\n"2",b\n3,c\n"4","d"\n', {}),
    "bars, and only some headers quoted": (b'"id"|name|"x|y"\n1|a|"b|c"\n', {}),
    "old Mac": (b"id,name\r1,a\r2,b\r", {}),
    "one column": (b"name\nx\n\"\"\"y\"\"\"\n", {}),
}  # fmt: skip
"""The bytes of a file, and the options of its `rows` entry."""


def records(text: str, delimiter: str) -> list[str]:
    """Return the text of each record, without its line end."""
    lines = RawLines(io.StringIO(text, newline=""))
    return [lines.take().rstrip("\r\n") for _ in csv.reader(lines, delimiter=delimiter, strict=True)]
