"""Nothing that acts on a terminal passes the edge of the output, and nothing is written around it."""

import ast
import io
import os
import pty
import sys
from pathlib import Path

import pytest

from batchcrew.base.edge import FRAMES, STYLES, Edge, harmless
from batchcrew.cli import streams

PACKAGE = Path(__file__).parents[2] / "batchcrew"
HOSTILE = "\x1b[2Ja\x9bb\u202ec\u2066\u200e\u061c\x00\x1b]0;title\x07"
SHOWN = "\\x1b[2Ja\\x9bb\\u202ec\\u2066\\u200e\\u061c\\x00\\x1b]0;title\\x07"
MAY_WRITE = {"cli/streams.py", "server/worker/main.py", "server/workers/frames.py"}
"""The edge itself, the edge of a worker process, and the pipe between server and worker."""


@pytest.mark.parametrize(
    ("text", "kept", "shown"),
    [
        (HOSTILE, None, SHOWN),
        ("lines\n\tand tabs\r\n", None, "lines\n\tand tabs\n"),
        ("\x1b[31mred\x1b[0m", None, "\\x1b[31mred\\x1b[0m"),
        ("\x1b[1;31mred\x1b[0m\x1b[m\x1b[38;5;200m", STYLES, "\x1b[1;31mred\x1b[0m\x1b[m\x1b[38;5;200m"),
        ("\x1b[8mconcealed\x1b[5m\x1b[7m\x1b[31;8m", STYLES, "\\x1b[8mconcealed\\x1b[5m\\x1b[7m\\x1b[31;8m"),
        ("\x1b[2J\x1b[1A\x1b[?25l\r", STYLES, "\\x1b[2J\\x1b[1A\\x1b[?25l\\x0d"),
        ("\x1b[2J\x1b[1A\x1b[?25l\r\x1b[31m\x1b[6n", FRAMES, "\x1b[2J\x1b[1A\x1b[?25l\r\x1b[31m\\x1b[6n"),
    ],
)
def test_what_passes(text: str, kept: str | None, shown: str) -> None:
    assert harmless(text, kept=kept) == shown


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_each_way_to_write_passes_the_edge(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "written"
    edge = Edge(io.FileIO(file, "w"), encoding, kept=None)
    stream = io.TextIOWrapper(edge, encoding, "backslashreplace")
    stream.write("é \x1b[2J\x9b ")
    stream.flush()
    stream.buffer.write("é \x1b[2J".encode(encoding))
    stream.flush()
    assert file.read_text(encoding) == "é \\x1b[2J\\x9b é \\x1b[2J"
    edge.write_data(b"\x1b\xff")
    stream.close()
    assert file.read_bytes().endswith(b"\x1b\xff")


def test_a_terminal_shows_colours_and_only_a_display_moves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pty.openpty()
    stream = streams._text(io.FileIO(writer, "w", closefd=False), None)
    drawing = streams.drawing(stream)
    assert drawing is not None
    for each in (stream, drawing):
        each.write("\x1b[31m\x1b[2K\x1b]0;\n")
        each.flush()
    read = b""
    while read.count(b"\n") < 2:
        read += os.read(reader, 1000)
    assert read == b"\x1b[31m\\x1b[2K\\x1b]0;\r\n\x1b[31m\x1b[2K\\x1b]0;\r\n"
    monkeypatch.setattr(sys, "stdout", stream)
    assert isinstance(streams.data_stdout(), Edge)  # a terminal gets no raw data
    os.close(reader)
    os.close(writer)


def test_no_module_writes_around_the_edge() -> None:
    """`print`, a standard stream kept from before, the buffer of one, and a descriptor go around it."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Call) else ""
            around = text in {"sys.__stdout__", "sys.__stderr__", "sys.stdout.buffer", "sys.stderr.buffer", "os.write"}
            if (around or text.startswith(("print(", "traceback.print_exc(file"))) and name not in MAY_WRITE:
                found.append(f"{name}:{node.lineno} {text}")  # type: ignore[attr-defined]  # both kinds have a place
    assert found == []
