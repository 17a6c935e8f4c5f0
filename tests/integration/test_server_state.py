"""Where the embedded server keeps its executions: real SQLite, in memory and in a file."""

import contextlib
import json
import os
import random
import re
import sqlite3
import stat
import urllib.request
from asyncio import to_thread
from pathlib import Path
from typing import Any

import pytest

from batchcrew.base.errors import UsageError
from batchcrew.server import CrewServer, ServeOptions, Spread
from batchcrew.server.demo.execution import Record
from batchcrew.server.demo.store import PRUNE_EVERY, Callbacks, DemoStore

START = 1_800_000_000.0
INPUTS = {"budget": "1000 USD", "interests": "food", "duration": "2 days", "age": "35"}


def record(name: str, *, started: float = START, duration: float = 10.0, fails: bool = False) -> Record:
    trip = {"budget": "1", "interests": "é\U0001f600", "duration": "2", "age": "3"}
    return Record(kickoff_id=name, trip=trip, started=started, duration=duration, fails=fails)


def call(server: CrewServer, path: str, body: Any = None, key: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {server.token}", **({"Idempotency-Key": key} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(server.url + path, data, headers)) as answer:
        return json.load(answer)


def test_a_stored_execution_is_read_back() -> None:
    state = DemoStore(None, now=START)
    one = record("one", started=START + 0.123456, fails=True)
    assert state.add(one, work=b"w", key="k", callbacks=Callbacks(urls={"crewWebhookUrl": "http://x"}, meta={"a": 1}))
    found = state.get("one")
    assert found is not None
    assert found.started == pytest.approx(one.started, abs=1e-6)
    assert (found.trip, found.duration, found.fails) == (one.trip, one.duration, True)
    assert state.by_key("k") == ("one", b"w")
    assert state.callbacks("one") == Callbacks(urls={"crewWebhookUrl": "http://x"}, meta={"a": 1}, sent=0)
    assert state.calling_back() == ["one"]
    state.set_callbacks("one", None)
    assert state.calling_back() == []
    assert state.get("two") is None
    assert state.by_key("one") is None
    assert state.callbacks("two") is None
    state.close()


def test_running_executions_are_counted_without_reading_the_table() -> None:
    state = DemoStore(None, now=START)
    for number, duration in enumerate((5.0, 1.0, 3.0)):
        state.add(record(str(number), duration=duration), work=b"w")
    assert [state.running(START + passed) for passed in (0, 1, 2.9, 3, 4.9, 5)] == [3, 2, 2, 1, 1, 0]
    assert state.peak_running == 3
    assert state.next_end() is None
    state.close()


def test_the_oldest_ended_are_forgotten_and_the_running_are_not() -> None:
    state = DemoStore(None, now=START, kept=100)
    state.add(record("runs", duration=86400.0), work=b"w")
    state.add(record("calls", duration=1), work=b"w", callbacks=Callbacks(urls={}, meta=None))
    for number in range(5 * PRUNE_EVERY):
        state.add(record(f"n{number}", started=START + number), work=b"%d" % number)
    assert state.get("runs") is not None
    assert state.get("calls") is not None
    assert state.get("n0") is None
    newest = 5 * PRUNE_EVERY - 1
    assert all(state.get(f"n{number}") is not None for number in range(newest - 99, newest + 1))
    kept = state._connection.execute("SELECT count(*) FROM executions").fetchone()[0]
    assert kept <= 100 + PRUNE_EVERY + 2
    assert state.kickoffs() == 5 * PRUNE_EVERY + 2
    state.close()


def test_turns_of_the_same_work() -> None:
    state = DemoStore(None, now=START)
    assert state.turn(b"w") == 1
    state.add(record("1"), work=b"w", turn=1)
    state.add(record("2"), work=b"w", turn=2)
    assert (state.turn(b"w"), state.turn(b"other")) == (3, 1)
    state.close()


def test_the_state_file_is_private_and_readable_with_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.db"
    state = DemoStore(path, now=START)
    state.add(record("one"), work=b"w", job='["b", "j"]')
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    row = state._connection.execute("SELECT started_at, ends_at, job FROM executions").fetchone()
    assert row == ("2027-01-15T08:00:00.000000Z", "2027-01-15T08:00:10.000000Z", '["b", "j"]')
    state.close()


def test_two_servers_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    one, other = DemoStore(path, now=START), DemoStore(path, now=START)
    assert one.add(record("a"), work=b"w", key="k")
    assert not other.add(record("b"), work=b"w", key="k"), "the key is taken"
    assert other.by_key("k") == ("a", b"w")
    assert other.running(START) == 0
    assert other.add(record("c"), work=b"w", key="l", job='["b", "j"]')
    assert one.add(record("d"), work=b"w", job='["b", "j"]')
    assert (one.most_of_one_job, one.kickoffs_of("j")) == (2, 2)
    one.close()
    other.close()


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    with contextlib.closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("CREATE TABLE jobs (id)")
    connection.close()
    before = ledger.read_bytes()
    with pytest.raises(UsageError, match="another kind of database"):
        DemoStore(ledger, now=START)
    assert ledger.read_bytes() == before
    text = tmp_path / "leads.csv"
    text.write_text("a,b\n1,2\n" * 1000)
    with pytest.raises(UsageError, match=r"leads\.csv .*not a database"):
        DemoStore(text, now=START)
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        DemoStore(tmp_path, now=START)
    newer = tmp_path / "newer.db"
    DemoStore(newer, now=START).close()
    with contextlib.closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match=r"newer\.db .*version"):
        DemoStore(newer, now=START)


async def test_executions_continue_by_the_clock_while_the_server_is_down(tmp_path: Path) -> None:
    time = START
    options = ServeOptions(execution_time=Spread(10.0), state=tmp_path / "state.db", max_running=1)
    body = {"inputs": INPUTS, "meta": {"batchcrew": {"batch": "b", "job": "j"}}}
    async with CrewServer(options, now=lambda: time) as server:
        kickoff_id = (await to_thread(call, server, "/kickoff", body, "attempt-1"))["kickoff_id"]
    time += 5
    async with CrewServer(options, now=lambda: time) as server:
        status = await to_thread(call, server, f"/status/{kickoff_id}")
        assert (status["status"], status["current_task"]) == ("running", "planning_task")
        assert (server.stats["running"], server.stats["peak_running"], server.stats["kickoffs"]) == (1, 1, 1)
        again = await to_thread(call, server, "/kickoff", body, "attempt-1")
        assert again == {"kickoff_id": kickoff_id}
        assert server.stats["kickoffs"] == 1
    time += 5
    async with CrewServer(options, now=lambda: time) as server:
        status = await to_thread(call, server, f"/status/{kickoff_id}")
        assert (status["status"], status["execution_time"]) == ("completed", 10.0)
        await to_thread(call, server, "/kickoff", body, "attempt-2")
        assert (server.stats["kickoffs"], server.stats["max_kickoffs_per_job"], server.kickoffs_of("j")) == (2, 2, 2)


async def test_without_a_file_nothing_outlives_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        async with CrewServer(ServeOptions(), now=lambda: START) as server:
            await to_thread(call, server, "/kickoff", {"inputs": INPUTS}, "attempt-1")
            assert (server.stats["kickoffs"], server.stats["repeated"]) == (1, 0)
    assert os.listdir() == []  # noqa: PTH208 - the linter reports a blocking call for a Path


async def test_a_seed_and_a_file_give_no_id_twice(tmp_path: Path) -> None:
    options = ServeOptions(seed=1, state=tmp_path / "state.db")
    seen = set()
    for _ in range(3):
        async with CrewServer(options, rng=random.Random(1)) as server:
            seen.add((await to_thread(call, server, "/kickoff", {"inputs": INPUTS}))["kickoff_id"])
    assert len(seen) == 3


def test_memory_does_not_grow_with_what_clients_send() -> None:
    """A kickoff of a megabyte leaves a few hundred bytes behind."""
    from batchcrew.server.api.kickoff import parse
    from batchcrew.server.demo.kickoff import demand

    huge = {"inputs": {**dict.fromkeys(INPUTS, "x" * 200_000), "other": "y" * 200_000}, "meta": {"m": "z" * 10_000}}
    read = demand(parse(json.dumps(huge).encode()))
    assert len(json.dumps(dict(read.trip))) < 1000
    assert read.urls == {}
