"""Kick off every row and poll its status, with a semaphore and no ledger: the script to compare batchcrew with."""

import asyncio
import csv
import sys
from pathlib import Path
from typing import Any

import aiohttp


async def _one(
    session: aiohttp.ClientSession, slots: asyncio.Semaphore, url: str, inputs: dict[str, str]
) -> dict[str, Any]:
    async with slots:
        async with session.post(f"{url}/kickoff", json={"inputs": inputs}) as answer:
            kickoff_id = (await answer.json())["kickoff_id"]
        while True:
            async with session.get(f"{url}/status/{kickoff_id}") as answer:
                status: dict[str, Any] = await answer.json()
            if status["status"] in {"completed", "error"}:
                return status
            await asyncio.sleep(2)


async def _all(url: str, rows: Path, concurrency: int) -> int:
    slots = asyncio.Semaphore(concurrency)
    with rows.open(newline="", encoding="utf-8") as file:
        inputs = list(csv.DictReader(file))
    connector = aiohttp.TCPConnector(limit=concurrency)
    headers = {"Authorization": "Bearer t"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        results = await asyncio.gather(*(_one(session, slots, url, row) for row in inputs))
    return sum(result["status"] == "completed" for result in results)


if __name__ == "__main__":
    print(asyncio.run(_all(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
