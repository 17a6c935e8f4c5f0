"""Measure the ingest of a CSV file: rows/s on one core, and the memory that it adds to the process.

    .venv/bin/python benchmarks/rows.py [--rows 1000000]

It includes the job file, CSV, jobs, staging, comparison, merge and commit, as in the first run of a batch. Then the
unchanged file is ingested again, as in every later run.
"""

import argparse
import asyncio
import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from batchcrew.app.ingest import IngestRequest, ingest
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.engine import Stop
from batchcrew.ledger import Ledger
from batchcrew.model.events import Event

JOB_FILE = "batch: rows\ncrew: {url: embedded}\njobs: [{rows: rows.csv}]\n"


def write_rows(path: Path, rows: int) -> None:
    """Write a CSV file of trips with five columns."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,budget,interests,duration,age\n")
        for number in range(rows):
            file.write(f'trip-{number},{500 + number} USD,"games, food",7 days,{20 + number % 60}\n')


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ignore(event: Event) -> None:
    """Discard an event: nothing shows the progress here."""
    del event


async def ingest_rows(folder: Path) -> float:
    """Ingest the rows file; returns the seconds that it takes."""
    source = Source(path=folder / "jobs.yaml", environ={}, today=datetime.now(UTC).date())
    began = time.perf_counter()
    jobfile, settings = source.load()
    async with Ledger(folder / "ledger.db", clock=SystemClock()) as ledger:
        request = IngestRequest(jobfile=jobfile, source=source, settings=settings)
        await ingest(ledger, request, stop=Stop(), observe=ignore)
    return time.perf_counter() - began


def main() -> None:
    """Measure both ingests and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows: int = parser.parse_args().rows
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all threads
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.csv", rows)
        (folder / "jobs.yaml").write_text(JOB_FILE, encoding="utf-8")
        before = peak_mb()
        seconds = asyncio.run(ingest_rows(folder))
        print(f"{rows} rows in {seconds:.1f} s: {rows / seconds:.0f} rows/s, {peak_mb() - before:+.1f} MB")
        again = asyncio.run(ingest_rows(folder))
        print(f"unchanged: {again:.2f} s, {peak_mb() - before:+.1f} MB in all")


if __name__ == "__main__":
    main()
