"""The tokens of each execution are what the model server has counted for it, for every kind of crew.

Two executions of each kind run at once in the threads of one worker.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from counting_model import CountingModel
from real_stage import Receiver, Served, served

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]
TARGET = f"{Path(__file__).parent}/crews_that_count.py:build"
KINDS = [
    "plain", "shared model", "tool", "tool that calls a model", "function calling model", "reasoning", "planning agent",
    "planning", "manager model", "manager agent", "delegation", "async tasks", "guardrail", "pydantic output",
    "json output", "instructor", "streaming model", "streaming tool", "streaming crew", "memory", "own, tracks",
    "own, emits",
    "own, both", "own, both outside a call", "direct call", "available functions", "typed call", "lone agent",
    "two crews", "for each", "own threads",
]  # fmt: skip
_rows = count()


@pytest.fixture(scope="module")
def model() -> Iterator[CountingModel]:
    with CountingModel().running() as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: CountingModel) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tokens")
    variables = {**model.variables(), "HOME": str(folder)}
    with served(folder, TARGET, "--workers", "1", "--threads", "2", **variables) as started:
        yield started


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_two_executions_at_once(model: CountingModel, server: Served, receiver: Receiver, kind: str) -> None:
    markers = [f"ROW{next(_rows)}X" for _ in range(2)]
    model.together(*markers)
    ids = {server.kickoff({"kind": kind, "topic": one}, **receiver.kickoff_keys()): one for one in markers}
    for _ in ids:
        receiver.next("crew")
    for kickoff_id, marker in ids.items():
        ended = server.status(kickoff_id)
        assert ended["status"] == "completed", ended
        counted = model.count(marker)
        assert {name: ended["token_usage"].get(name) for name in counted} == counted
        assert ended["token_usage"]["total_tokens"] > 10
        assert marker in ended["result"]["output"]
    assert not model.count(""), "requests without a marker"
    assert not model.count(" ".join(sorted(markers))), "requests with both markers"
