"""Measure how soon batchcrew notices the end of an execution by webhooks and by polls, in real time.

    .venv/bin/python benchmarks/webhooks.py [--jobs 200] [--concurrency 20] [--execution-time 4s±30%]

The demo crew runs in its own process, on loopback. Each batch is run by polls, by webhooks, and by webhooks of which
30 % are lost, doubled, late and accompanied by forged ones. The delay of a detection is from the end of the execution,
as the server's state file has it, to the end of the attempt in the ledger. The ideal time is that of the same durations
on the same slots, in the same order, without any delay. `wrong` counts jobs that have another state or another output
than the server has. A batch of 20 jobs before the measured one teaches the polls how long executions take.
"""

import argparse
import heapq
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

JOB_FILE = """
batch: {batch}
crew: {{url: "{url}", token: t}}
run: {{concurrency: {concurrency}, retry: {{attempts: 1}}}}
jobs: [{{rows: {batch}.csv}}]
"""
DISTURBED = [option for kind in ("drop", "double", "delay", "forge") for option in (f"--webhook-{kind}-rate", "30%")]


@dataclass(frozen=True)
class Figures:
    """What one batch took."""

    delays: list[float]
    """Seconds, in order."""
    polls: Counter[str]
    """Status requests by job."""
    seconds: float
    ideal: float
    wrong: int


def command(*arguments: str) -> list[str]:
    """Return the command line of `batchcrew`."""
    return [sys.executable, "-m", "batchcrew", *arguments]


@contextmanager
def crew(folder: Path, execution_time: str, *options: str) -> Iterator[str]:
    """Run the demo crew; yields its URL."""
    state = ("--state", str(folder / "server.db"))
    with subprocess.Popen(
        command("serve", "demo", "--port", "0", "--seed", "1", "--execution-time", execution_time, *state, *options),
        env={**os.environ, "BATCHCREW_SERVE_TOKEN": "t"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def write_rows(path: Path, jobs: int) -> None:
    """Write a CSV file of trips with different inputs."""
    lines = ["id,budget,interests,duration,age\n"]
    lines += [f'trip-{n},{500 + n} USD,"games, food",7 days,{20 + n % 60}\n' for n in range(jobs)]
    path.write_text("".join(lines), encoding="utf-8")


def run(folder: Path, url: str, batch: str, jobs: int, concurrency: int, options: list[str]) -> Figures:
    """Run one batch, and compare what the ledger has with what the server has."""
    write_rows(folder / f"{batch}.csv", jobs)
    text = JOB_FILE.format(batch=batch, url=url, concurrency=concurrency)
    (folder / f"{batch}.yaml").write_text(text, encoding="utf-8")
    ledger = str(folder / "ledger.db")
    arguments = command("run", f"{batch}.yaml", "--ledger", ledger, "-v", "--log-format", "json", *options)
    ended = subprocess.run(arguments, check=False, cwd=folder, capture_output=True, text=True)
    if ended.returncode not in {0, 1}:
        raise SystemExit(f"{arguments} ended with {ended.returncode}:\n{ended.stderr}")
    events = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    polls = Counter(event["job"] for event in events if event["event"] == "polled")
    return compared(folder, batch, concurrency, polls)


def compared(folder: Path, batch: str, concurrency: int, polls: Counter[str]) -> Figures:
    """Return the figures of a batch that has ended."""
    server = {row[0]: row[1:] for row in rows(folder / "server.db", "SELECT kickoff_id, started_at, ends_at, fails,"
              " duration FROM executions")}  # fmt: skip
    attempts = rows(
        folder / "ledger.db",
        "SELECT a.kickoff_id, a.ended_at, a.state, a.output FROM attempts AS a JOIN jobs AS j ON j.id = a.job"
        " JOIN batches AS b ON b.id = j.batch_id WHERE b.batch = ? ORDER BY a.kicked_off_at",
        batch,
    )
    delays, wrong, ends = [], 0, []
    for kickoff_id, ended_at, state, output in attempts:
        _, ends_at, fails, _ = server[kickoff_id]
        delays.append(seconds(ended_at) - seconds(ends_at))
        wrong += state != ("failed" if fails else "succeeded") or "forged" in (output or "") or delays[-1] < -0.05
        ends.append(seconds(ended_at))
    began = min(seconds(server[row[0]][0]) for row in attempts)
    durations = [server[row[0]][3] for row in attempts]
    return Figures(sorted(delays), polls, max(ends) - began, ideal_time(durations, concurrency), wrong)


def ideal_time(durations: list[float], slots: int) -> float:
    """Return the time of these executions if each slot is filled at the moment at which it is free."""
    free = [0.0] * slots
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def rows(path: Path, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def seconds(text: str) -> float:
    """Return a moment as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def show(name: str, figures: Figures) -> None:
    """Print one line of figures."""
    delays, polls = figures.delays, figures.polls
    print(
        f"{name:<20} {figures.seconds / figures.ideal:6.3f} {statistics.median(delays) * 1000:9.1f}"
        f" {delays[int(len(delays) * 0.95)] * 1000:9.1f} {polls.total() / len(delays):6.2f} {max(polls.values()):4d}"
        f" {sum(count > 2 for count in polls.values()):6d} {figures.wrong:6d}"
    )


def main() -> None:
    """Run the batches in turn and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=20)
    parser.add_argument("--execution-time", default="4s±30%")
    arguments = parser.parse_args()
    webhooks = ["--webhook-listen", "127.0.0.1:0"]
    print(f"{arguments.jobs} jobs of {arguments.execution_time}, concurrency {arguments.concurrency}")
    print(f"{'':<20} {'time':>6} {'median':>9} {'95 %':>9} {'polls':>6} {'':>4} {'jobs':>6}")
    print(f"{'':<20} {'/ideal':>6} {'delay ms':>9} {'delay ms':>9} {'a job':>6} {'most':>4} {'> 2':>6} {'wrong':>6}")
    for name, options, serving in (
        ("polls", [], []),
        ("webhooks", webhooks, []),
        ("disturbed webhooks", webhooks, DISTURBED),
    ):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            with crew(folder, arguments.execution_time, *serving) as url:
                run(folder, url, "warm", 20, arguments.concurrency, options)
                show(name, run(folder, url, "measured", arguments.jobs, arguments.concurrency, options))


if __name__ == "__main__":
    main()
