"""`batchcrew ARGUMENTS` whose served crews are those of `tests/contract/crews_worker.py`, without CrewAI."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from batchcrew.cli import main
from batchcrew.server import interpreters

WORKER = Path(__file__).parents[1] / "contract" / "crews_worker.py"


def interpreter(*_: Any) -> Any:
    """Return the command of these workers, whatever the project needs."""
    return SimpleNamespace(command=(sys.executable, "-P", str(WORKER)), environment=None, warning="")


if __name__ == "__main__":
    interpreters.interpreter = interpreter  # type: ignore[assignment]  # it needs no project
    main(sys.argv[1:])
