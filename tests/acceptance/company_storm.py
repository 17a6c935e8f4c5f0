"""A storm in company: three batches in one ledger and programs that read it, each killed at random moments.

python tests/acceptance/company_storm.py --kills 200 --jobs 200
"""

import argparse
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli_process import JOB_FILE, Crew, call, environment, write_trips
from kill_storm import LongLine

LEDGER = "results/batchcrew.db"
BATCHES = {"first": "run", "second": "run", "third": "tick"}
"""Each batch, and the command that works on it until the storm is over."""
LONGEST_SECONDS = 1.2
"""The longest time after which a process is killed; its start takes a third of this."""
OPEN_AND_CLOSE = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM jobs'); c.close()"
)
BATCHCREW = [sys.executable, "-m", "batchcrew"]


def readers(folder: Path) -> dict[str, list[str]]:
    """Programs that read the ledger."""
    commands = {
        "status": [*BATCHCREW, "status", "first"],
        "list": [*BATCHCREW, "list"],
        "export": [*BATCHCREW, "export", "second", "-o", str(folder / "export.csv")],
        "check": [*BATCHCREW, "check", "first.yaml", "--offline"],
        "runs": [*BATCHCREW, "runs"],
        "python": [sys.executable, "-c", OPEN_AND_CLOSE, LEDGER],
    }
    if shutil.which("sqlite3"):
        commands["sqlite3"] = ["sqlite3", LEDGER, "SELECT count(*) FROM jobs"]
        commands["sqlite3 -readonly"] = ["sqlite3", "-readonly", LEDGER, "SELECT count(*) FROM jobs"]
    return commands


@dataclass
class CompanyStorm:
    """What came of it."""

    jobs: int
    kills: Counter[str] = field(default_factory=Counter)
    """By batch, and of readers."""
    processes: Counter[str] = field(default_factory=Counter)
    kickoffs: int = 0
    most_of_one_job: int = 0
    succeeded: int = 0
    without_answer: int = 0
    """Jobs that succeeded and whose answer is not in the ledger."""
    held: int = 0
    possible_duplicates: int = 0
    integrity: str = ""

    @property
    def lost(self) -> int:
        """Jobs that neither succeeded nor are on hold."""
        return self.jobs - self.succeeded - self.held

    @property
    def duplicates(self) -> int:
        """Kickoffs beyond one a job, by the server's own count."""
        return 0 if self.most_of_one_job <= 1 else max(1, self.kickoffs - self.jobs)

    def __str__(self) -> str:
        kills = ", ".join(f"{number} of {name}" for name, number in sorted(self.kills.items()))
        started = ", ".join(f"{number} {name}" for name, number in sorted(self.processes.items()))
        return (
            f"{sum(self.kills.values())} kills ({kills}); started: {started}; {self.jobs} jobs:"
            f" {self.kickoffs} kickoffs, {self.duplicates} duplicates (at most {self.most_of_one_job} kickoffs of one "
            f"job), {self.succeeded} succeeded, {self.without_answer} of them without answer, {self.held} held, "
            f"{self.lost} lost, integrity {self.integrity}"
        )


class _Storm:
    def __init__(self, folder: Path, *, kills: int, seed: int, result: CompanyStorm) -> None:
        self._folder = folder
        self._kills = kills
        self._seed = seed
        self._result = result
        self._lock = threading.Lock()
        self._over = threading.Event()

    def rage(self) -> None:
        """Start and kill until there were enough kills."""
        works: list[Callable[[random.Random], None]] = [
            lambda chance, batch=batch: self._work_on(batch, chance)  # type: ignore[misc]  # batch is bound here
            for batch in BATCHES
        ]
        threads = [
            threading.Thread(target=self._repeat, args=(work, self._seed + number))
            for number, work in enumerate([*works, self._read])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _repeat(self, work: Callable[[random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        while not self._over.is_set():
            work(chance)

    def _work_on(self, batch: str, chance: random.Random) -> None:
        options = ["--delivery", "at_most_once", "--concurrency", "6", "--max-kickoffs", "3"]
        self._start(batch, [*BATCHCREW, BATCHES[batch], f"{batch}.yaml", *options], chance, share=1.0)

    def _read(self, chance: random.Random) -> None:
        name, command = chance.choice(sorted(readers(self._folder).items()))
        self._start(f"readers ({name})" if name.startswith("sqlite3") else "readers", command, chance, share=0.3)

    def _start(self, name: str, command: list[str], chance: random.Random, *, share: float) -> None:
        process = subprocess.Popen(
            command, cwd=self._folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        killed = False
        try:
            process.wait(timeout=chance.uniform(0.1, LONGEST_SECONDS) if chance.random() < share else 30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
        with self._lock:
            self._result.processes[name] += 1
            self._result.kills[name] += killed
            if sum(self._result.kills.values()) >= self._kills:
                self._over.set()


def rage(folder: Path, *, kills: int, jobs: int, seed: int) -> CompanyStorm:
    """Kill and restart the programs, then run each batch to its end; returns the figures."""
    result = CompanyStorm(jobs=jobs * len(BATCHES))
    crew = Crew(folder, "--execution-time", "150ms±60%", "--no-idempotency")
    write_trips(folder, jobs)
    line = LongLine(crew.url)  # a kickoff is on the wire for a while, and many kills hit it there
    for batch in BATCHES:
        (folder / f"{batch}.yaml").write_text(JOB_FILE.format(url=line.url), encoding="utf-8")
    # the readers have something to read from the beginning
    call(folder, "run", "first.yaml", "--delivery", "at_most_once", "--limit", "1")
    _Storm(folder, kills=kills, seed=seed, result=result).rage()
    for batch in BATCHES:
        ended = call(folder, "run", f"{batch}.yaml", "--delivery", "at_most_once", "--json")
        counts = json.loads(ended.stdout)["counts"]
        result.succeeded += counts["succeeded"]
        result.held += counts["held"]
        result.possible_duplicates += counts["possible_duplicates"]
    stats = crew.stats()
    result.kickoffs, result.most_of_one_job = stats["kickoffs"], stats["max_kickoffs_per_job"]
    line.stop()
    crew.stop()
    connection = sqlite3.connect(folder / LEDGER)
    (result.integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
    query = "SELECT count(*) FROM results WHERE state = 'succeeded' AND output IS NULL"
    (result.without_answer,) = connection.execute(query).fetchone()
    connection.close()
    return result


def main() -> None:
    """The long storm, by a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=200, help="of each batch")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(rage(Path(folder), kills=given.kills, jobs=given.jobs, seed=given.seed))


if __name__ == "__main__":
    main()
