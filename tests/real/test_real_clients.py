"""Other clients of the crew API kick the example off, by the default dialect and by `live`, and get its result."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from real_stage import PLAN, PROJECT, TOKEN, environment, served, wishes

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
SEMANTIC_KERNEL = Path(sys.prefix) / "semantic-kernel" / "bin" / "python"


def result_of(client: list[str], folder: Path, dialect: str) -> Any:
    """What the client prints about the execution that it has started."""
    with served(folder, str(PROJECT), "--workers", "1", "--dialect", dialect, OFFLINE_SECONDS="0.2") as server:
        ended = subprocess.run(
            [*client, server.url, TOKEN, json.dumps(wishes(3))],
            check=False,
            cwd=folder,
            env=environment(CREWAI_DISABLE_TELEMETRY="true", CREWAI_STORAGE_DIR=str(folder)),
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("dialect", ["guide", "live"])
def test_crewai_tools(tmp_path: Path, dialect: str) -> None:
    answer = result_of([sys.executable, str(HERE / "crewai_tools_client.py")], tmp_path, dialect)
    if dialect == "guide":  # the tool prints the guide's result as it is
        answer = {"result": ast.literal_eval(answer["result"])["output"]}
    assert answer == {"result": PLAN.format(**wishes(3))}


@pytest.mark.parametrize("dialect", ["guide", "live"])
def test_semantic_kernel(tmp_path: Path, dialect: str) -> None:
    if not SEMANTIC_KERNEL.is_file() and os.environ.get("CI") != "true":
        pytest.skip(f"{SEMANTIC_KERNEL} is not there; `make real` makes it")
    answer = result_of([str(SEMANTIC_KERNEL), str(HERE / "semantic_kernel_client.py")], tmp_path, dialect)
    assert answer == {
        "inputs": ["age", "budget", "duration", "interests"],
        "result": PLAN.format(**wishes(3)),
        "state": "SUCCESS",
    }
