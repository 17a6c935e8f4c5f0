"""Kickoffs/s of `batchcrew serve` with two workers beside crewai's own `akickoff_for_each` in one process.

    .venv/bin/python benchmarks/crews.py [--kickoffs 300] [--workers 2] [--threads 4] [--rounds 3]

Both run the same trivial crew (trivial_crew.py) in turn, and both are timed once they are warm: neither the import of
crewai nor the start of a process counts. The server's side has HTTP, the ledger of executions and this client in its
time. Then all workers are kept busy once more while one execution after another is asked for its `/status`.
It needs the extra `crewai`. Machines are noisy: compare the ratio of one run, not figures of two.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

HERE = Path(__file__).parent
TOKEN = "of-the-benchmark"  # noqa: S105 - of a server that lives for this run
QUIET = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "OTEL_SDK_DISABLED": "true",
}
ON_ITS_WAY = {"pending", "running"}
AT_ONCE = 16
"""Kickoff requests in flight."""


def environment(folder: Path) -> dict[str, str]:
    """The same for both sides, and nothing kept in the user's home."""
    return {**os.environ, **QUIET, "CREWAI_STORAGE_DIR": str(folder), "BATCHCREW_SERVE_TOKEN": TOKEN}


def topics(kickoffs: int) -> list[dict[str, str]]:
    """Inputs like no others."""
    return [{"topic": f"topic-{number}"} for number in range(kickoffs)]


async def library(kickoffs: int) -> float:
    """Seconds that crewai takes in this process."""
    from trivial_crew import trivial  # noqa: PLC0415 - the other side never imports crewai in this process

    await trivial().akickoff_for_each(inputs=topics(4))
    crew = trivial()
    began = time.perf_counter()
    outputs = await crew.akickoff_for_each(inputs=topics(kickoffs))
    seconds = time.perf_counter() - began
    for wanted, output in zip(topics(kickoffs), outputs, strict=True):
        assert wanted["topic"] in output.raw.split(), output.raw
    return seconds


def library_in_its_process(kickoffs: int, folder: Path) -> float:
    """The same in a process of its own, as a person runs it."""
    command = [sys.executable, __file__, "--library", str(kickoffs)]
    said = subprocess.run(command, env=environment(folder), check=True, capture_output=True, text=True).stdout
    return float(said.splitlines()[-1])


@contextlib.contextmanager
def server(workers: int, threads: int, kickoffs: int, folder: Path) -> Iterator[str]:
    """The URL of `batchcrew serve`."""
    command = [sys.executable, "-m", "batchcrew", "serve", f"{HERE / 'trivial_crew.py'}:trivial", "--port", "0"]
    options = ["--workers", str(workers), "--threads", str(threads), "--max-queue", str(kickoffs)]
    process = subprocess.Popen(
        [*command, *options], cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("the server did not start")
        yield url
    finally:
        process.terminate()
        process.wait()


class Client:
    """Kicks off and waits, with as little work of its own as can be."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.starting = asyncio.Semaphore(AT_ONCE)

    async def kickoff(self, inputs: dict[str, str]) -> str:
        async with self.starting, self.session.post(f"{self.url}/kickoff", json={"inputs": inputs}) as answer:
            return str((await answer.json())["kickoff_id"])

    async def kickoff_all(self, kickoffs: int) -> list[str]:
        return list(await asyncio.gather(*(self.kickoff(inputs) for inputs in topics(kickoffs))))

    async def status(self, kickoff_id: str) -> Any:
        async with self.session.get(f"{self.url}/status/{kickoff_id}") as answer:
            return await answer.json()

    async def wait(self, ids: list[str]) -> None:
        """Until all have succeeded, each with its own output."""
        for number, kickoff_id in enumerate(ids):
            while (status := await self.status(kickoff_id))["status"] in ON_ITS_WAY:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
            assert status["status"] == "completed", status
            assert f"topic-{number}" in status["result"]["output"].split(), status


async def throughput(client: Client, kickoffs: int) -> float:
    """Seconds from the first kickoff to the last result."""
    began = time.perf_counter()
    await client.wait(await client.kickoff_all(kickoffs))
    return time.perf_counter() - began


async def latencies(client: Client, kickoffs: int) -> list[float]:
    """Seconds of each `/status` request while all workers are busy, one request at a time."""
    ids = await client.kickoff_all(kickoffs)
    found: list[float] = []
    busy, number = True, 0
    while busy:
        began = time.perf_counter()
        status = await client.status(ids[number % kickoffs])
        found.append(time.perf_counter() - began)
        number += 1
        if number % 20 == 0:  # the last ones to start still wait: every worker has work
            busy = (await client.status(ids[-8]))["status"] in ON_ITS_WAY
        assert status["status"] in {*ON_ITS_WAY, "completed"}, status
        await asyncio.sleep(0.005)
    await client.wait(ids)
    return found


async def serve_and_measure(workers: int, threads: int, kickoffs: int, folder: Path) -> tuple[float, list[float]]:
    """One round of the server's side."""
    with server(workers, threads, kickoffs, folder) as url:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            client = Client(session, url)
            await client.wait(await client.kickoff_all(2 * workers))
            return await throughput(client, kickoffs), await latencies(client, kickoffs)


def main() -> None:
    """Run both sides in turn and print their figures and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kickoffs", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--library", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.library:
        print(asyncio.run(library(arguments.library)))
        return
    kickoffs: int = arguments.kickoffs
    theirs: list[float] = []
    ours: list[float] = []
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(1, arguments.rounds + 1):
            theirs.append(library_in_its_process(kickoffs, Path(name)))
            served = serve_and_measure(arguments.workers, arguments.threads, kickoffs, Path(name))
            seconds, found = asyncio.run(served)
            ours.append(seconds)
            waits += found
            print(f"round {number}: akickoff_for_each {kickoffs / theirs[-1]:.1f}/s, served {kickoffs / seconds:.1f}/s")
    rate, base = kickoffs / statistics.median(ours), kickoffs / statistics.median(theirs)
    print(f"akickoff_for_each, one process: {base:6.1f} kickoffs/s (median of {arguments.rounds})")
    print(f"batchcrew serve, {arguments.workers} workers:     {rate:6.1f} kickoffs/s")
    print(f"ratio: {rate / base:.2f}")
    cut = statistics.quantiles(waits, n=100)
    middle, worst = cut[49] * 1000, cut[98] * 1000
    print(f"/status while all workers are busy: p50 {middle:.1f} ms, p99 {worst:.1f} ms ({len(waits)} requests)")


if __name__ == "__main__":
    main()
