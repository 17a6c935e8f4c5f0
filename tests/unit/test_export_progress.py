"""The line that shows how far an export is."""

import io

from batchcrew.cli.export_progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_large_export_shows_its_progress_and_erases_it() -> None:
    terminal = Terminal()
    with ProgressLine(terminal, 40_000) as line:
        for rows in range(500, 40_001, 500):
            line.show(rows)
    assert terminal.getvalue().count("rows written") == 4
    assert "20,000 rows written (50 %)" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_small_export_and_one_without_a_terminal_show_nothing() -> None:
    for stream in (Terminal(), io.StringIO()):
        with ProgressLine(stream, 100) as line:
            line.show(100)
        assert stream.getvalue() == ""
    pipe = io.StringIO()
    with ProgressLine(pipe, 100_000) as line:
        line.show(100_000)
    assert pipe.getvalue() == ""
    with ProgressLine(None, 100_000) as line:
        line.show(100_000)


def test_a_stream_that_was_closed_ends_nothing() -> None:
    terminal = Terminal()
    with ProgressLine(terminal, 100_000) as line:
        line.show(50_000)
        terminal.close()
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        line.show(100_000)
