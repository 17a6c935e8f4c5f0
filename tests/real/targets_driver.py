"""Loads each target in one process, runs it twice with other inputs, and prints what came of it as JSON."""

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchcrew.server import parse_target
from batchcrew.server.report import StepReport
from batchcrew.server.worker.main import ENVIRONMENT
from batchcrew.server.worker.running import Running, TargetError
from batchcrew.server.workers.frames import Line
from batchcrew.server.workers.messages import FromWorker, LibraryEvent, Step, TaskEnded, decode_from_worker


def main(folder: Path, names: list[str]) -> None:
    os.environ.update({**ENVIRONMENT, "CREWAI_STORAGE_DIR": str(folder / "storage")})
    sys.path.insert(0, str(folder))
    found = {name: one(folder, name) for name in names}
    print(json.dumps(found))


def one(folder: Path, name: str) -> Any:
    from batchcrew.server.worker import loader as library

    try:
        loaded = library.load(parse_target(f"crews_of_all_kinds:{name}", folder))
    except TargetError as error:
        return {"refused": str(error)}
    description = loaded.description()
    return {
        "inputs": [asdict(entry) for entry in description.inputs],
        "what": description.what,
        "total": description.total,
        "runs": [run(loaded, topic) for topic in ("salt", "pepper")],
    }


def run(loaded: Any, topic: str) -> Any:
    there, back = os.pipe()
    listener = Line(there, os.open(os.devnull, os.O_WRONLY))
    received: list[FromWorker] = []

    def listen() -> None:
        while (body := listener._body()) is not None:
            received.append(decode_from_worker(body))

    thread = threading.Thread(target=listen)
    thread.start()
    running = Running(
        kickoff_id="k",
        inputs={"topic": topic, "tone": "calm", "times": "3", "loud": "yes", "more": "end"},
        events=frozenset({"task_started", "crew_kickoff_completed"}),
        line=Line(os.open(os.devnull, os.O_RDONLY), back),
    )
    result = loaded.run(running)
    os.close(back)
    thread.join()
    return {
        "output": result.output,
        "json": result.result_json,
        "usage": running.usage,
        "kinds": [type(message).__name__ for message in received],
        "steps": [given(message.step) for message in received if isinstance(message, Step)],
        "tasks": [asdict(message.task) for message in received if isinstance(message, TaskEnded)],
        "events": sorted(message.type for message in received if isinstance(message, LibraryEvent)),
    }


def given(step: StepReport) -> dict[str, Any]:
    return {name: value for name, value in asdict(step).items() if value is not None}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
