"""Compare batchcrew with a bare aiohttp loop: jobs/s, CPU per job and peak memory.

    .venv/bin/python benchmarks/throughput.py [--jobs 5000] [--concurrency 100] [--rounds 3]

Both run in turn, each in its own process, against the same instant crew server in another process. batchcrew runs with
the real durability of its ledger (one fsync per commit). CPU is the user and system time of the process, including its
start and its imports; memory is its peak resident size. The figures are medians of the rounds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from instant_server import instant_server

HERE = Path(__file__).parent
JOB_FILE = """
batch: throughput
crew: {{url: "{url}", token: t}}
run: {{concurrency: {concurrency}, poll: {{initial: 1ms, max: 1ms}}}}
jobs: [{{rows: rows.csv}}]
"""


@dataclass(frozen=True)
class Figures:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def measure(command: list[str], **variables: str) -> Figures:
    """Run the command to its end; raises `SystemExit` if it fails."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        # both start from compiled modules, as an installed program does
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**environ, **variables})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{command} ended with {process.returncode}:\n{said.read().decode()}")
    return Figures(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def write_rows(path: Path, jobs: int) -> None:
    """Write a CSV file of trips."""
    lines = ["id,budget,interests,duration,age\n"]
    lines += [f'trip-{n},{500 + n} USD,"games, food",7 days,{20 + n % 60}\n' for n in range(jobs)]
    path.write_text("".join(lines), encoding="utf-8")


def show(name: str, figures: list[Figures], jobs: int) -> tuple[float, float, float]:
    """Print one line of medians; returns jobs/s, CPU ms per job and peak MB."""
    rate = jobs / statistics.median(each.seconds for each in figures)
    cpu = statistics.median(each.cpu_seconds for each in figures) / jobs * 1000
    memory = statistics.median(each.peak_mb for each in figures)
    print(f"{name:<12} {rate:8.0f} jobs/s {cpu:8.3f} ms CPU/job {memory:8.1f} MB peak")
    return rate, cpu, memory


def main() -> None:
    """Run both in turn and print their figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    bare: list[Figures] = []
    ours: list[Figures] = []
    with instant_server() as (url, kind), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.csv", arguments.jobs)
        job_file = JOB_FILE.format(url=url, concurrency=arguments.concurrency)
        (folder / "jobs.yaml").write_text(job_file, encoding="utf-8")
        print(f"{arguments.jobs} jobs, concurrency {arguments.concurrency}, {arguments.rounds} rounds, server: {kind}")
        for number in range(arguments.rounds):
            loop = [sys.executable, str(HERE / "bare_loop.py"), url, str(folder / "rows.csv")]
            bare.append(measure([*loop, str(arguments.concurrency)]))
            run = [sys.executable, "-m", "batchcrew", "run", str(folder / "jobs.yaml")]
            ours.append(measure(run, BATCHCREW_LEDGER=str(folder / f"ledger-{number}.db")))
    bare_rate, bare_cpu, bare_memory = show("bare loop", bare, arguments.jobs)
    our_rate, our_cpu, our_memory = show("batchcrew", ours, arguments.jobs)
    print(
        f"ratio        {our_rate / bare_rate:8.2f} of the rate {our_cpu / bare_cpu:6.2f} times the CPU"
        f"     {our_memory - bare_memory:+8.1f} MB"
    )


if __name__ == "__main__":
    main()
