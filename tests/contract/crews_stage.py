"""The server of real crews on a real socket with real worker processes; the crew is `crews_worker.py`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from manual_clock import ManualClock
from server_stage import TOKEN, Answer, Receiver, Stage, manual_clock

from batchcrew.server import CrewOptions, CrewServer, ServeOptions, Target

WORKER = (sys.executable, "-P", str(Path(__file__).with_name("crews_worker.py")))


def target(folder: Path, attribute: str = "") -> Target:
    return Target(name="the stage", folder=str(folder), paths=(), modules=("stage",), attribute=attribute)


class Gate:
    """A named pipe that an execution waits for (`do: hold`): a test can wait for it there, and release it."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.path = folder / name
        os.mkfifo(self.path)

    async def waited_at(self) -> "Gate":
        """Wait until an execution waits at the pipe."""
        self._writer = await asyncio.to_thread(self.path.open, "w")
        return self

    def open(self) -> None:
        """Release the execution."""
        self._writer.close()


class CrewStage(Stage):
    """A stage with a receiver of crew webhooks, so that a test can wait for an end."""

    receiver: Receiver

    async def start(self, do: str, *, key: str | None = None, body: Any = None, **inputs: Any) -> str:
        """Kick off with the receiver as the crew webhook; returns the kickoff_id."""
        whole = {"inputs": {"do": do, **inputs}, "crewWebhookUrl": f"{self.receiver.url}/end", **(body or {})}
        return await self.started(whole, headers={"Idempotency-Key": key})

    async def ended(self, *kickoff_ids: str) -> list[Any]:
        """Wait until these executions have ended; returns their statuses, in this order."""
        left = set(kickoff_ids)
        while left:
            path, said = await self.receiver.heard.get()
            if path == "/end":
                left.discard(said["kickoff_id"])
        return [await self.status(kickoff_id) for kickoff_id in kickoff_ids]

    async def status(self, kickoff_id: str) -> Any:
        answer: Answer = await self.get(f"/{kickoff_id}/status")
        assert answer.status == 200, answer
        return answer.body

    async def run(self, do: str, **inputs: Any) -> Any:
        """Kick off and wait for the end; the status."""
        return (await self.ended(await self.start(do, **inputs)))[0]


@asynccontextmanager
async def crew_stage(
    folder: Path,
    *,
    clock: ManualClock | None = None,
    state: Path | None = None,
    dialect: Any = "guide",
    attribute: str = "",
    answers: tuple[int, ...] = (),
    webhook_allow: tuple[str, ...] = (),
    **crew: Any,
) -> AsyncIterator[CrewStage]:
    """Without a `clock` time is real, and nothing of the test hangs on it."""
    options = CrewOptions(target=target(folder, attribute), **{"workers": 1, "command": WORKER, **crew})
    serve = ServeOptions(token=TOKEN, dialect=dialect, state=state, crew=options, webhook_allow=webhook_allow)
    how: dict[str, Any] = {} if clock is None else {"now": clock.epoch, "sleep": clock.sleep}
    async with (
        Receiver(answers) as receiver,
        CrewServer(serve, **how) as server,
        aiohttp.ClientSession() as session,
    ):
        on = CrewStage(server, session, clock or manual_clock())
        on.receiver = receiver
        yield on
