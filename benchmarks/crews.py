"""Compare the kickoffs/s of `batchcrew serve` with those of crewai's own `akickoff_for_each` in one process.

    .venv/bin/python benchmarks/crews.py [--kickoffs 300] [--workers 2] [--threads 4] [--rounds 3]

Both run the same trivial crew (trivial_crew.py) in turn, and the clock starts once both are warm: neither the import of
crewai nor the start of a process counts. The server's time includes HTTP, its database of executions and this client.
Afterwards the benchmark keeps all workers busy again and measures the latency of `/status` requests.
It needs the extra `crewai`. Machines are noisy: compare the ratio within one call, not the figures of two calls.
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
TOKEN = "of-the-benchmark"  # noqa: S105 - of a server that runs only for this benchmark
QUIET = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "OTEL_SDK_DISABLED": "true",
}
ON_ITS_WAY = {"pending", "running"}
AT_ONCE = 16
"""The most kickoff requests in flight."""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of both sides; crewai stores its files in `folder`, not in the home folder."""
    return {**os.environ, **QUIET, "CREWAI_STORAGE_DIR": str(folder), "BATCHCREW_SERVE_TOKEN": TOKEN}


def topics(kickoffs: int) -> list[dict[str, str]]:
    """Return inputs that are different for each kickoff."""
    return [{"topic": f"topic-{number}"} for number in range(kickoffs)]


async def library(kickoffs: int) -> float:
    """Run all kickoffs with crewai in this process; returns the seconds that they take."""
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
    """Run `library` in a separate process, as a user of crewai does."""
    command = [sys.executable, __file__, "--library", str(kickoffs)]
    said = subprocess.run(command, env=environment(folder), check=True, capture_output=True, text=True).stdout
    return float(said.splitlines()[-1])


@contextlib.contextmanager
def server(workers: int, threads: int, kickoffs: int, folder: Path) -> Iterator[str]:
    """Run `batchcrew serve`; yields its URL."""
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
    """Kicks off and waits for the results, with as little overhead as possible."""

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
        """Wait until all executions have succeeded, and check that each has its own output."""
        for number, kickoff_id in enumerate(ids):
            while (status := await self.status(kickoff_id))["status"] in ON_ITS_WAY:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
            assert status["status"] == "completed", status
            assert f"topic-{number}" in status["result"]["output"].split(), status


async def throughput(client: Client, kickoffs: int) -> float:
    """Return the seconds from the first kickoff to the last result."""
    began = time.perf_counter()
    await client.wait(await client.kickoff_all(kickoffs))
    return time.perf_counter() - began


async def latencies(client: Client, kickoffs: int) -> list[float]:
    """Return the seconds of each `/status` request, one at a time, while all workers are busy."""
    ids = await client.kickoff_all(kickoffs)
    found: list[float] = []
    busy, number = True, 0
    while busy:
        began = time.perf_counter()
        status = await client.status(ids[number % kickoffs])
        found.append(time.perf_counter() - began)
        number += 1
        if number % 20 == 0:  # while the last kickoffs are pending, every worker is busy
            busy = (await client.status(ids[-8]))["status"] in ON_ITS_WAY
        assert status["status"] in {*ON_ITS_WAY, "completed"}, status
        await asyncio.sleep(0.005)
    await client.wait(ids)
    return found


async def serve_and_measure(workers: int, threads: int, kickoffs: int, folder: Path) -> tuple[float, list[float]]:
    """Run one round of the server's side; returns the seconds of its kickoffs and the latencies of `/status`."""
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
