"""Measure `batchcrew export` in every format on a large batch.

    .venv/bin/python benchmarks/big_ledger.py results/big.db --jobs 1000000
    .venv/bin/python benchmarks/export.py results/big.db leads

Writes to a folder next to the ledger, and deletes what it wrote.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VARIANTS = {
    "csv": ["-f", "csv"],
    "csv, failed only": ["-f", "csv", "--state", "failed"],
    "csv, flattened": ["-f", "csv", "--flatten", "--tokens"],
    "csv, every task": ["-f", "csv", "--tasks"],
    "jsonl": ["-f", "jsonl"],
    "md": ["-f", "md"],
    "parquet": ["-f", "parquet"],
    "parquet, flattened": ["-f", "parquet", "--flatten"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("batch")
    parser.add_argument("--only", action="append", choices=VARIANTS)
    given = parser.parse_args()
    print(f"{'format':<22} {'seconds':>8} {'of CPU':>8} {'MB of memory':>13} {'MB written':>11}")
    with tempfile.TemporaryDirectory(dir=given.ledger.parent) as folder:
        out = Path(folder) / "out"
        for name in given.only or VARIANTS:
            arguments = ["export", given.batch, "--ledger", str(given.ledger), "-o", str(out), *VARIANTS[name]]
            began = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "batchcrew", *arguments], stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, (name, process.returncode)
            cpu = usage.ru_utime + usage.ru_stime
            memory, size = usage.ru_maxrss / 1024, out.stat().st_size / 1e6
            print(f"{name:<22} {seconds:>8.1f} {cpu:>8.1f} {memory:>13.0f} {size:>11.0f}")


if __name__ == "__main__":
    main()
