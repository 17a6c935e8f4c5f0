"""Measure the commands that you and cron call on a batch of 200,000 ended jobs, of which 5% have failed.

.venv/bin/python benchmarks/ended.py [--jobs 200000]
"""

import argparse
import csv
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOB_FILE = """
batch: ended
crew: {url: embedded}
jobs: [{rows: rows.csv}]
"""


def measured(folder: Path, *arguments: str) -> tuple[float, float]:
    """Call batchcrew; returns the wall seconds and the peak memory (MB)."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "batchcrew", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in {0, 1}, (arguments, process.returncode)
    return wall, usage.ru_maxrss / 1024


def fill(folder: Path, jobs: int) -> None:
    """Ingest the rows file, then record every job as ended."""
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "budget", "interests", "duration", "age"])
        rows.writerows([f"job-{n}", f"{n} USD", "games, food", "7 days", "35"] for n in range(jobs))
    (folder / "jobs.yaml").write_text(JOB_FILE, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "batchcrew", "run", "jobs.yaml", "--watch-only"],
        cwd=folder,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    ledger = sqlite3.connect(folder / "results" / "batchcrew.db")
    (run_id,) = ledger.execute("SELECT id FROM runs").fetchone()
    now = "2026-01-01T00:00:00.000Z"
    answer = json.dumps({"status": "completed", "result": {"output": "x" * 500}})
    ledger.execute(
        "INSERT INTO attempts (id, job, number, run_id, state, kickoff_id, intended_at, kicked_off_at, ended_at,"
        " output, answer, token_usage) SELECT ? || '-' || printf('%06d', id), id, 1, ?,"
        " CASE WHEN id % 20 THEN 'succeeded' ELSE 'failed' END, 'k' || id, ?, ?, ?, ?, ?, ? FROM jobs",
        (run_id, run_id, now, now, now, "x" * 500, answer, json.dumps({"total_tokens": 1200, "prompt_tokens": 900})),
    )
    ledger.execute("UPDATE jobs SET state = 'succeeded', attempts = 1, charged = 1 WHERE id % 20")
    for kind in range(4):  # four kinds of failures, whose texts differ by a number
        ledger.execute(
            "UPDATE jobs SET state = 'failed', attempts = 1, charged = 1, reason = ? || id, reason_fingerprint = ?"
            " WHERE id % 80 = ?",
            (f"{'abcd'[kind]} failed at row ", f"{kind:012x}", kind * 20),
        )
    ledger.commit()
    ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, given.jobs)
        empty, _ = measured(folder, "--version")
        print(f"{given.jobs} ended jobs; python -m batchcrew --version: {empty:.2f} s")
        for arguments in (
            ["run", "jobs.yaml"],
            ["tick", "jobs.yaml"],
            ["status"],
            ["status", "ended", "--json"],
            ["list"],
            ["failures"],
            ["failures", "--json"],
        ):
            figures = [measured(folder, *arguments) for _ in range(given.rounds)]
            wall = statistics.median(wall for wall, _ in figures)
            print(f"{' '.join(arguments):<22} {wall:.2f} s, {max(memory for _, memory in figures):.0f} MB")


if __name__ == "__main__":
    main()
