"""Measure how much a browser that follows the live page slows a run down, as a ratio within one run.

    .venv/bin/python benchmarks/live_page.py [--execution-time 1s] [--concurrency 50] [--windows 8] [--seconds 4]

One run of the demo crew is in progress while a browser follows its page for a window of time, then does not for the
next one, and then the other way round, so that a machine that becomes slower or faster changes both. The browser
behaves as the page's script does: it fetches the page after each change that is reported. The ratio compares the
executions that ended in windows with a browser with those in windows without one, by the ledger. The demo crew, the run
and the page are separate processes.
"""

import argparse
import asyncio
import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

JOB_FILE = """
crew: {{url: "{url}", token: t}}
run: {{concurrency: {concurrency}, poll: {{strategy: fixed, initial: 200ms}}}}
jobs: [{{rows: trips.csv}}]
"""
LEAST_WAIT_SECONDS = 0.25
WAIT_FACTOR = 8
"""As in batchcrew/web/static/page.js: the wait after a page, compared with the time that it took."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Windows:
    """The windows of one measurement: when they began and ended, by the wall clock."""

    followed: list[tuple[float, float]] = field(default_factory=list)
    alone: list[tuple[float, float]] = field(default_factory=list)
    fetched: int = 0
    """Pages."""
    page_seconds: float = 0.0
    """Seconds of CPU of the page's process during the windows with a browser."""
    cpu_followed: list[float] = field(default_factory=list)
    """CPU of the run during each window with a browser, in seconds per second."""
    cpu_alone: list[float] = field(default_factory=list)


@contextlib.contextmanager
def process(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `batchcrew ARGUMENTS` during the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "batchcrew", *arguments],
        cwd=folder,
        env={**os.environ, "BATCHCREW_SERVE_TOKEN": "t"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.terminate()


def first_line(started: "subprocess.Popen[str]") -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def cpu_seconds(pid: int) -> float:
    """Return the seconds of CPU that a process has taken."""
    values = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / TICKS_PER_SECOND


async def follow(session: aiohttp.ClientSession, base: str, seconds: float) -> int:
    """Follow the batch for some seconds as the page's script does; return how many pages were fetched."""
    fetched = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), session.get(f"{base}/events?batch=jobs") as stream:
            async for line in stream.content:
                if line != b"event: changed\n":
                    continue
                began = time.monotonic()
                async with session.get(f"{base}/batch?batch=jobs", headers={"X-Refresh": "1"}) as page:
                    await page.read()
                    assert page.status == 200
                fetched += 1
                await asyncio.sleep(max(LEAST_WAIT_SECONDS, WAIT_FACTOR * (time.monotonic() - began)))
    return fetched


async def measure(link: str, run: int, page: int, *, windows: int, seconds: float) -> Windows:
    """Return the windows of a run in progress.

    Args:
        run: the run's process.
        page: the page's process.
    """
    found = Windows()
    base = link[: link.index("/", 8)]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(link) as signed_in:
            assert signed_in.status == 200
        await asyncio.sleep(seconds)  # the run begins
        for number in range(windows):
            for with_browser in (True, False) if number % 2 else (False, True):
                began, cpu, cpu_of_page = time.time(), cpu_seconds(run), cpu_seconds(page)
                if with_browser:
                    found.fetched += await follow(session, base, seconds)
                    found.page_seconds += cpu_seconds(page) - cpu_of_page
                else:
                    await asyncio.sleep(seconds)
                ended = time.time()
                (found.followed if with_browser else found.alone).append((began, ended))
                used = (cpu_seconds(run) - cpu) / (ended - began)
                (found.cpu_followed if with_browser else found.cpu_alone).append(used)
    return found


def per_second(ledger: Path, windows: list[tuple[float, float]]) -> list[float]:
    """Return how many executions ended in each window, per second."""
    query = (
        "SELECT count(*) FROM attempts WHERE state = 'succeeded' AND"
        " (julianday(ended_at) - 2440587.5) * 86400.0 BETWEEN ? AND ?"
    )
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        return [connection.execute(query, each).fetchone()[0] / (each[1] - each[0]) for each in windows]


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--execution-time", default="1s")
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchcrew-") as name, contextlib.ExitStack() as stack:
        folder, ledger = Path(name), Path(name) / "ledger.db"
        lines = [f'trip-{n},{500 + n} USD,"games, food",7 days,{20 + n % 60}\n' for n in range(options.jobs)]
        (folder / "trips.csv").write_text("id,budget,interests,duration,age\n" + "".join(lines), encoding="utf-8")
        serve = ("serve", "demo", "--port", "0", "--seed", "1", "--execution-time", options.execution_time)
        url = first_line(stack.enter_context(process(folder, *serve)))
        text = JOB_FILE.format(url=url, concurrency=options.concurrency)
        (folder / "jobs.yaml").write_text(text, encoding="utf-8")
        run = stack.enter_context(process(folder, "run", "jobs.yaml", "--ledger", str(ledger), "--json"))
        while not ledger.exists():
            time.sleep(0.1)
        page = stack.enter_context(process(folder, "ui", "--ledger", str(ledger)))
        measuring = measure(first_line(page), run.pid, page.pid, windows=options.windows, seconds=options.seconds)
        found = asyncio.run(measuring)
        assert run.poll() is None, "the run ended too early"
        followed, alone = per_second(ledger, found.followed), per_second(ledger, found.alone)
    watched = sum(end - began for began, end in found.followed)
    print(f"ended per second with a browser {statistics.mean(followed):.1f}, without {statistics.mean(alone):.1f}")
    pairs = statistics.median(one / other for one, other in zip(followed, alone, strict=True) if other)
    print(f"ratio {statistics.mean(followed) / statistics.mean(alone):.4f}, median of pairs {pairs:.4f}")
    per_end = [sum(cpu) / sum(ended) for cpu, ended in ((found.cpu_followed, followed), (found.cpu_alone, alone))]
    print(f"CPU of the run for each execution that ended, with a browser / without: {per_end[0] / per_end[1]:.4f}")
    share = 100 * found.page_seconds / watched
    print(f"{found.fetched / watched:.2f} pages per second; the page took {share:.1f} % of a core")


if __name__ == "__main__":
    main()
