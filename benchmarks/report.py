"""Measure the reports of a large batch: seconds, seconds of CPU, memory, and the size of each report.

    .venv/bin/python benchmarks/report.py [--jobs 1000000] [--ledger big.db] [--formats json,text,md]

`--ledger` keeps the ledger for the next measurement; `benchmarks/big_ledger.py` describes its batch. The first report
after the ledger is written may read it from the disk.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from big_ledger import BATCH, make_ledger


def measure(ledger: Path, name: str, folder: Path) -> None:
    """Print how long a report of this format takes."""
    output = folder / f"report.{name}"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "batchcrew",
        "report",
        BATCH,
        "-f",
        name,
        "-o",
        str(output),
        "--ledger",
        str(ledger),
    ]
    subprocess.run(["/usr/bin/env", "time", "-f", "%M", "-o", str(folder / "memory"), *command], check=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = int((folder / "memory").read_text(encoding="ascii").split()[-1]) / 1024
    print(
        f"{name:<8} {seconds:7.1f} s {cpu:7.1f} s CPU {memory:7.0f} MiB {output.stat().st_size / 1024:9.0f} KiB",
        flush=True,
    )


def main() -> None:
    """Write the ledger if it is missing, and measure each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--ledger", type=Path)
    parser.add_argument("--formats", default="json,json,text,md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ledger = options.ledger or folder / "big.db"
        if not ledger.exists():
            make_ledger(ledger, jobs=options.jobs)
        print(f"{ledger}: {ledger.stat().st_size / 2**20:.0f} MiB")
        for name in options.formats.split(","):
            measure(ledger, name, folder)


if __name__ == "__main__":
    main()
