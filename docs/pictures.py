"""Write the pictures of the documentation into docs/img/, from a real run of batchcrew against the demo crew.

    python docs/pictures.py [NAME…]      # or: make pictures

Each picture is a function in PICTURES. Those of the terminal need tmux, those of pages Chromium and Playwright
(`make browser` installs it). What is missing is skipped with a message.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "img"
PROGRAM = Path(sys.executable).parent / "batchcrew"
TOKEN = "token-of-the-pictures"  # noqa: S105 - of a server on this machine that ends with this program
MOST_BYTES = 150_000
LONGEST_SECONDS = 120.0
JOBS = 240
CITIES = ("tokyo", "oslo", "lisbon", "nairobi", "quito", "hanoi", "tunis", "perth")
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
JOB_FILE = """\
batch: leads
crew: {url: "${CREW_URL}", token: "${CREW_TOKEN}", price_per_kickoff: 0.50 USD}
run: {concurrency: 40, stop_after_failures: none, retry: {attempts: 1}, max_kickoffs: {run: 230}}
jobs: [{rows: leads.csv}]
"""
# rich's own template loads a font from the network
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="a terminal">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


class Skipped(Exception):
    """A picture cannot be made on this machine."""


class Stage:
    """A folder with a batch, and the demo crew that runs it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("BATCHCREW_", "CREW_"))},
            "CREW_URL": url,
            "CREW_TOKEN": TOKEN,
            "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "PS1": "$ ",
        }
        self._finished = False

    def call(self, *words: str) -> str:
        """Run a command of batchcrew, and return what it prints."""
        ended = subprocess.run(  # noqa: S603 - the words are written below
            [PROGRAM, *words], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        return ended.stdout + ended.stderr

    def finish(self) -> None:
        """Run the batch to its end."""
        if not self._finished:
            self.call("run", "leads.yaml", "-q")
            self._finished = True


@contextmanager
def stage() -> Iterator[Stage]:
    """Start the demo crew, and write the batch into a folder."""
    with tempfile.TemporaryDirectory(prefix="batchcrew-pictures-") as name:
        folder = Path(name)
        rows = [
            f"{city}-{number:03d},1000 USD,games,3 days,35" for number in range(JOBS) for city in [CITIES[number % 8]]
        ]
        (folder / "leads.csv").write_text("\n".join(["id,budget,interests,duration,age", *rows, ""]), encoding="utf-8")
        (folder / "leads.yaml").write_text(JOB_FILE, encoding="utf-8")
        (folder / "token").write_text(TOKEN, encoding="utf-8")
        (folder / "token").chmod(0o600)
        options = ["--execution-time", "lognormal:8s±60%", "--fail-rate", "0.12", "--seed", "4", "--port", "0"]
        server = subprocess.Popen(  # noqa: S603
            [PROGRAM, "serve", "demo", "--token-file", "token", *options],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert server.stdout is not None  # noqa: S101 - it is a pipe
            yield Stage(folder, server.stdout.readline().strip())
        finally:
            server.terminate()
            server.wait()


@contextmanager
def terminal(stage: Stage, columns: int, rows: int) -> Iterator[Callable[[str, str], Text]]:
    """Open a terminal of that size; yield a function that types a line and returns the screen once it shows a text."""
    tmux = shutil.which("tmux")
    if tmux is None:
        raise Skipped("tmux is not installed")
    with tempfile.TemporaryDirectory(prefix="batchcrew-tmux-") as sockets:
        call = [tmux, "-S", f"{sockets}/socket", "-f", os.devnull]
        shell = ["bash", "--norc", "--noprofile"]
        size = ["-x", str(columns), "-y", str(rows)]
        environ = {**stage.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        subprocess.run([*call, "new-session", "-d", *size, *shell], cwd=stage.folder, env=environ, check=True)  # noqa: S603

        def screen() -> str:
            capture = [*call, "capture-pane", "-e", "-p"]
            return subprocess.run(capture, capture_output=True, text=True, check=True).stdout  # noqa: S603

        def typed(line: str, expected: str) -> Text:
            subprocess.run([*call, "send-keys", "-l", line], check=True)  # noqa: S603
            subprocess.run([*call, "send-keys", "Enter"], check=True)  # noqa: S603
            end = time.monotonic() + LONGEST_SECONDS
            while not re.search(expected, Text.from_ansi(screen()).plain):
                if time.monotonic() > end:
                    raise Skipped(f"{line!r} did not show {expected!r}:\n{Text.from_ansi(screen()).plain}")
                time.sleep(0.1)
            return Text.from_ansi(screen().rstrip("\n"))

        try:
            yield typed
        finally:
            subprocess.run([*call, "kill-server"], check=True)  # noqa: S603


def save_screen(name: str, text: Text, columns: int) -> Path:
    """Write a screen as SVG."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        console = Console(record=True, width=columns, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(text, no_wrap=True, overflow="crop")
    path = IMAGES / f"{name}.svg"
    console.save_svg(str(path), title="batchcrew", code_format=SVG, unique_id=name)
    return path


# the terminal --------------------------------------------------------------------------------------------------------


def live(stage: Stage) -> Path:
    """Draw a run in progress, with failures; the run then continues to its end."""
    with terminal(stage, 80, 24) as typed:
        shown = typed("clear; batchcrew run leads.yaml", r"(?s)\s[34]\d%.*in progress.*latest failures")
        path = save_screen("live", shown, 80)
        typed("", "export the results")
        stage._finished = True  # noqa: SLF001 - by this run
    return path


def status(stage: Stage) -> Path:
    """Draw `batchcrew status` after a run."""
    stage.finish()
    with terminal(stage, 100, 26) as typed:
        return save_screen("status", typed("clear; batchcrew status; batchcrew list", "last run.*(?s:.)*last run"), 100)


def failures(stage: Stage) -> Path:
    """Draw `batchcrew failures`."""
    stage.finish()
    with terminal(stage, 100, 30) as typed:
        return save_screen("failures", typed("clear; batchcrew failures", r"retry:.*--fingerprint"), 100)


# pages ---------------------------------------------------------------------------------------------------------------


def report(stage: Stage) -> Path:
    """Draw the report of the batch."""
    stage.finish()
    said = stage.call("report", "leads", "-f", "html", "-o", "report.html")
    if not (stage.folder / "report.html").exists():
        raise Skipped(f"there is no report: {said.strip().splitlines()[-1:]}")
    return save_page("report", (stage.folder / "report.html").as_uri(), height=1500)


def ui(stage: Stage) -> Path:
    """Draw the live page."""
    stage.finish()
    page = subprocess.Popen(  # noqa: S603
        [PROGRAM, "ui"],
        cwd=stage.folder,
        env=stage.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert page.stdout is not None  # noqa: S101 - it is a pipe
        said = ""
        for line in page.stdout:
            said += line
            if found := re.search(r"http://\S+", line):
                return save_page("ui", found[0], link="leads")
        raise Skipped(f"there is no live page: {said.strip().splitlines()[-1:]}")
    finally:
        page.terminate()
        page.wait()


def save_page(name: str, url: str, *, link: str | None = None, height: int = 700) -> Path:
    """Write what Chromium shows of a page, or of the page that a link on it leads to, as PNG.

    Args:
        height: of the picture, in pixels.
    """
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it may not be installed
    except ImportError:
        raise Skipped("Playwright is not installed; `make browser` installs it") from None
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise Skipped("Chromium is not installed")
    path = IMAGES / f"{name}.png"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM))
        page = browser.new_page(viewport={"width": 1000, "height": height})
        page.goto(url)
        page.wait_for_load_state("load")
        if link is not None:
            page.get_by_role("link", name=link).first.click()
            page.get_by_text("Why jobs failed").wait_for()
        page.screenshot(path=path)
        browser.close()
    return path


PICTURES: dict[str, Callable[[Stage], Path]] = {
    "live": live,
    "status": status,
    "failures": failures,
    "report": report,
    "ui": ui,
}
"""In the order in which they are made: the run of the first one is that of the others."""


def main(names: list[str]) -> int:
    """Make the named pictures, or all; return 1 if one is too large."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    too_large = False
    with stage() as made:
        for name in names or PICTURES:
            try:
                path = PICTURES[name](made)
            except Skipped as reason:
                print(f"{name}: skipped: {reason}")  # noqa: T201
                continue
            size = path.stat().st_size
            too_large = too_large or size > MOST_BYTES
            print(f"{shlex.quote(str(path.relative_to(ROOT)))}: {size / 1000:.0f} kB")  # noqa: T201
    return int(too_large)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
