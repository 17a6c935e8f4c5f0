"""A storm: a batch is killed (SIGKILL) again and again at random moments, and must still lose and repeat nothing.

python tests/acceptance/kill_storm.py --kills 100 --jobs 500 --delivery at_most_once
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cli_process import JOB_FILE, Crew, call, environment, write_trips


class LongLine:
    """A proxy in front of a server that delays each answer by 50 ms, also when the client is dead by then."""

    SECONDS = 0.05

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self.url = ""
        self._ready = threading.Event()
        self._meetings: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="long-line")
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._welcome, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        server.close()
        for meeting in self._meetings:
            meeting.cancel()
        await asyncio.gather(*self._meetings, return_exceptions=True)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meeting = asyncio.create_task(self._meet(reader, writer))
        self._meetings.add(meeting)
        meeting.add_done_callback(self._meetings.discard)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._to.hostname, self._to.port)
            await asyncio.gather(self._pass_on(reader, far_writer, 0), self._pass_on(far_reader, writer, self.SECONDS))
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        try:
            while data := await reader.read(65536):
                await asyncio.sleep(seconds)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the storm has killed the run
        finally:
            writer.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()


@dataclass(frozen=True)
class Storm:
    """What came of it."""

    kills: int
    jobs: int
    kickoffs: int
    most_of_one_job: int
    succeeded: int
    held: int
    lost: int
    possible_duplicates: int
    doubts: int
    """Kickoffs in doubt; one job can have several."""
    runs: int

    @property
    def duplicates(self) -> int:
        """Kickoffs beyond one a job, by the server's own count; a held job may have none."""
        return 0 if self.most_of_one_job == 1 else max(1, self.kickoffs - (self.jobs - self.held))

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.runs} runs, {self.jobs} jobs: {self.kickoffs} kickoffs, "
            f"{self.duplicates} duplicates (at most {self.most_of_one_job} kickoffs of one job, "
            f"possible duplicates told: {self.possible_duplicates}), "
            f"{self.succeeded} succeeded, {self.held} held, {self.lost} lost"
        )


def doubts_of(ledger: Path) -> int:
    """Return how many kickoffs were in doubt, of all jobs."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        (number,) = connection.execute("SELECT count(*) FROM attempts WHERE state = 'in_doubt'").fetchone()
    return int(number)


def rage(folder: Path, *, kills: int, jobs: int, delivery: str, idempotent: bool, seed: int) -> Storm:
    """Run and tick until this many kills have hit, then run to the end."""
    chance = random.Random(seed)
    crew = Crew(folder, "--execution-time", "150ms±60%", *(() if idempotent else ("--no-idempotency",)))
    write_trips(folder, jobs)
    line = LongLine(crew.url)  # a kickoff is on the wire for a while, and many kills hit it there
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=line.url), encoding="utf-8")
    options = ("jobs.yaml", "--delivery", delivery, "--concurrency", "8")
    hit = runs = 0
    while hit < kills and runs < 3 * kills:
        runs += 1
        few = ("--max-kickoffs", str(max(1, jobs // kills)))
        process = subprocess.Popen(
            [sys.executable, "-m", "batchcrew", chance.choice(("run", "run", "tick")), *options, *few],
            cwd=folder,
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=chance.uniform(0.1, 1.2))  # its start takes a third of this
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            hit += process.wait() == -signal.SIGKILL
    run = ("run", *options)
    ended = call(folder, *run, "--json")
    counts = json.loads(ended.stdout)["counts"]
    stats = crew.stats()
    line.stop()
    crew.stop()
    return Storm(
        kills=hit,
        jobs=jobs,
        kickoffs=stats["kickoffs"],
        most_of_one_job=stats["max_kickoffs_per_job"],
        succeeded=counts["succeeded"],
        held=counts["held"],
        lost=jobs - counts["succeeded"] - counts["held"],
        possible_duplicates=counts["possible_duplicates"],
        doubts=doubts_of(folder / "results" / "batchcrew.db"),
        runs=runs + 1,
    )


def main() -> None:
    """The long storm, by a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--delivery", choices=["at_most_once", "at_least_once"], default="at_most_once")
    parser.add_argument("--idempotent", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storm = rage(
            Path(folder),
            kills=given.kills,
            jobs=given.jobs,
            delivery=given.delivery,
            idempotent=given.idempotent,
            seed=given.seed,
        )
    print(storm)


if __name__ == "__main__":
    main()
