"""The live display on a real terminal, tmux, whose size changes during the run."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_process import environment

LONGEST_SECONDS = 60.0
DRIVER = Path(__file__).with_name("display_driver.py")
pytestmark = [
    pytest.mark.crash,  # takes long
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


class Terminal:
    """A terminal of tmux that runs the driver."""

    def __init__(self, folder: Path, columns: int, rows: int) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix="tmux-")  # the path of a socket must be short
        self._tmux = ["tmux", "-S", f"{self._sockets.name}/socket", "-f", "/dev/null"]
        self.columns = columns
        variables = environment(TERM="xterm-256color", LC_ALL="C.UTF-8")
        for name in ("COLUMNS", "LINES"):  # of the tests' own terminal
            variables.pop(name, None)
        command = [sys.executable, str(DRIVER)]
        size = ["-x", str(columns), "-y", str(rows)]
        self._call("start-server", ";", "set-option", "-g", "remain-on-exit", "on", ";", "new-session", "-d", *size,
                   *command, folder=folder, variables=variables)  # fmt: skip

    def _call(self, *words: str, folder: Path | None = None, variables: dict[str, str] | None = None) -> str:
        called = subprocess.run(
            [*self._tmux, *words], cwd=folder, env=variables, capture_output=True, text=True, check=True
        )
        return called.stdout

    def lines(self, *, scrollback: bool = False) -> list[str]:
        return self._call("capture-pane", "-p", *(["-S", "-"] if scrollback else [])).rstrip("\n").split("\n")

    def resize(self, columns: int, rows: int) -> None:
        self.columns = columns
        self._call("resize-window", "-x", str(columns), "-y", str(rows))

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        end = time.monotonic() + LONGEST_SECONDS
        while not condition(lines := self.lines()):
            if time.monotonic() > end:
                pytest.fail("not shown:\n" + "\n".join(lines))
            time.sleep(0.05)
        return lines

    def until_drawn(self) -> list[str]:
        """Wait for a frame of the terminal's present size: its bar fills a line."""
        return self.until(lambda lines: any(self._is_bar(line) for line in lines))

    def _is_bar(self, line: str) -> bool:
        return line.startswith("leads ") and line.endswith(" 12/2000") and len(line) == self.columns

    def close(self) -> None:
        self._call("kill-server")
        self._sockets.cleanup()


@pytest.fixture
def terminal(folder: Path) -> Iterator[Callable[[int, int], Terminal]]:
    opened: list[Terminal] = []

    def start(columns: int, rows: int) -> Terminal:
        opened.append(Terminal(folder, columns, rows))
        return opened[-1]

    yield start
    (folder / "end").touch()
    for each in opened:
        each.close()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (40, 10)])
def test_500_executions_are_readable_at_any_size(
    terminal: Callable[[int, int], Terminal], columns: int, rows: int
) -> None:
    lines = terminal(columns, rows).until_drawn()
    frame = lines[next(number for number, line in enumerate(lines) if line.startswith("leads ")) :]
    assert len(frame) <= max(12, rows // 2 + 1)
    assert any(line.startswith("slots 500 of 500: throttled") for line in frame)
    assert "in progress, the longest first" in frame
    text = "\n".join(lines)
    assert "\u202e" not in text
    assert "owned" not in text.split("]0;")[0]


def test_resizing_leaves_one_frame_also_in_the_scrollback(
    terminal: Callable[[int, int], Terminal], folder: Path
) -> None:
    shown = terminal(80, 24)
    shown.until_drawn()
    for columns, rows in ((40, 24), (80, 24), (80, 12), (80, 24), (60, 24), (120, 40), (60, 40)):
        shown.resize(columns, rows)
        shown.until_drawn()
    everything = shown.lines(scrollback=True)
    assert len([line for line in everything if line.startswith("leads ")]) == 1
    assert len([line for line in everything if line.startswith("in progress")]) == 1
    (folder / "end").touch()
    shown.until(lambda lines: "the summary" in lines)
    everything = shown.lines(scrollback=True)
    assert not [line for line in everything if line.startswith(("leads ", "in progress"))]
    assert [line for line in everything if line.startswith("line 59 of the shell")]
    assert "a warning with" in "\n".join(everything)
