"""Runs executions that change what a worker's executions share, and prints what is noticed and what is left as JSON."""

import contextlib
import json
import os
import sys
import threading
from pathlib import Path

from batchcrew.server.worker.artifacts import Artifacts
from batchcrew.server.worker.side_effects import SideEffects
from batchcrew.server.worker.workspace import Workspace, working_in


def main(folder: Path, shared: bool) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ.update({"KEPT": "as it was", "GONE": "as it was"})
    import crew  # type: ignore[import-not-found]  # the test writes it into the folder

    noticed: list[str] = []
    effects = SideEffects(str(folder), (str(folder / "results"),), shared=shared, warn=noticed.append)
    effects.watch()
    crew.write("before any execution.txt")

    def execution(name: str, *calls: object) -> None:
        workspace = Workspace(name, folder / "results" / name, Artifacts(None, str(folder)))
        effects.began(workspace)
        workspace.at_end(lambda: effects.ended(workspace))
        with working_in(workspace), contextlib.suppress(ValueError):
            for call in calls:
                call()  # type: ignore[operator]

    def seen() -> dict[str, object]:
        names = ("KEPT", "GONE", "NEW", "LIBRARY", "MODULE")
        return {"folder": str(Path.cwd()), "variables": {name: os.environ.get(name) for name in names}}

    found: dict[str, object] = {}
    execution("first", crew.change, lambda: found.update(meanwhile=seen()))
    found["after the first"] = seen()
    if not shared:  # the only one in its process
        print(json.dumps({**found, "noticed": noticed}))
        return
    first, second = threading.Event(), threading.Event()

    def late() -> None:
        thread = threading.Thread(target=crew.change)  # it does not know its execution
        thread.start()
        thread.join()
        second.set()
        first.wait()

    running = threading.Thread(target=execution, args=("second", late))
    running.start()
    second.wait()
    execution("third", crew.use_library, lambda: __import__("later"))
    found["while the second runs"] = seen()
    first.set()
    running.join()
    found["at the end"] = seen()
    execution("fourth", lambda: crew.write("notes.txt"), lambda: crew.write("notes.txt"), crew.read_and_keep)
    execution("fifth", lambda: crew.write("results/ours.txt"), lambda: crew.write("../elsewhere.txt"))
    execution("sixth", crew.fail)
    print(json.dumps({**found, "noticed": noticed, "last": seen()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "shared")
