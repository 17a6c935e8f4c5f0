"""Each thing that can be set on the embedded server, seen from outside. A knob that is ignored fails here."""

import asyncio
import random
import statistics
from typing import Any

import aiohttp
import pytest
from server_stage import INPUTS, KICKOFF, manual_clock, stage

from batchcrew.base.errors import UsageError
from batchcrew.server import CrewServer, Fault, Faults, Phases, ServeOptions, Spread, parse_max_running, parse_share
from batchcrew.server.execution_times import Shape
from batchcrew.server.faults import FaultLike

GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"


async def duration(on: Any, inputs: dict[str, Any]) -> float:
    """Return the execution time that an execution of these inputs reports."""
    kickoff_id = await on.started({"inputs": inputs})
    on.clock.advance(3600)
    return float((await on.get(f"/status/{kickoff_id}")).body["execution_time"])


# Options


@pytest.mark.parametrize(
    ("text", "spread"),
    [
        ("2s±50%", Spread(2.0, 0.5)),
        ("2s+-50%", Spread(2.0, 0.5)),
        ("2s +/- 12.5 %", Spread(2.0, 0.125)),
        ("500ms", Spread(0.5)),
        ("1.5m", Spread(90.0)),
        ("24h", Spread(86400.0)),
        ("0", Spread(0.0)),
        (" 3 ", Spread(3.0)),
        ("lognormal:30s", Spread(30.0, 0.6, "lognormal")),
        ("lognormal: 30s ± 20%", Spread(30.0, 0.2, "lognormal")),
        ("heavy:2m", Spread(120.0, 1.3, "heavy")),
        ("heavy:2m+-200%", Spread(120.0, 2.0, "heavy")),
        ("bimodal:500ms", Spread(0.5, 0.0, "bimodal")),
    ],
)
def test_execution_times_as_people_write_them(text: str, spread: Spread) -> None:
    assert Spread.parse(text) == spread


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "2s±",
        "2s±101%",
        "-2s",
        "2 days",
        "25h",
        "2s50%",
        "nan",
        "1e3",
        "²s",
        "normal:2s",
        "lognormal:",
        "bimodal:2s±5%",
        "heavy:2s±1001%",
    ],
)
def test_an_invalid_execution_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Spread.parse(text)


def test_a_spread_is_even_between_its_ends() -> None:
    spread = Spread.parse("2s±50%")
    assert [spread.at(chance) for chance in (0.0, 0.5, 1.0)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("shape", "share"), [("lognormal", 0.2), ("lognormal", 0.6), ("heavy", 1.3), ("bimodal", 0.0)])
def test_a_shape_has_the_mean_that_it_names(shape: Shape, share: float) -> None:
    spread, rng = Spread(30.0, share, shape), random.Random(1)
    drawn = [spread.at(rng.random()) for _ in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(30.0, rel=0.05)
    assert 0 <= spread.at(0.0) < 30 < spread.at(1.0) <= 86400
    if shape == "bimodal":
        assert sum(each < 22 for each in drawn) / len(drawn) == pytest.approx(0.6, abs=0.02)
        assert not [each for each in drawn if 22 < each < 30]
    else:
        assert statistics.pstdev(drawn) / 30 == pytest.approx(share, rel=0.15)


def test_phases_as_people_write_them() -> None:
    phases = Phases.parse("2s±50%, 60s@200, heavy:3m @ 1.5m", Spread.parse)
    assert phases.at(executions=0, seconds=0.0) == phases.at(executions=199, seconds=89.9) == Spread(2.0, 0.5)
    assert phases.at(executions=200, seconds=0.0) == Spread(60.0)
    assert phases.at(executions=0, seconds=90.0) == Spread(180.0, 1.3, "heavy")
    assert parse_max_running("40").at(executions=10**6, seconds=1e6) == 40


@pytest.mark.parametrize(
    "text", ["", "x", "0.5", "40,", "40,20", "40,20@", "40@1s", "40,20@1.5", "40,20@1d", "40,x@1s"]
)
def test_an_invalid_capacity_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_max_running(text)


@pytest.mark.parametrize(("text", "share"), [("0", 0.0), ("0.2", 0.2), ("20%", 0.2), ("100 %", 1.0), ("1", 1.0)])
def test_shares_as_people_write_them(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "101%", "1.1", "-0.1", "nan", "inf", "half"])
def test_an_invalid_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid share"):
        parse_share(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": -1}, "invalid port: -1"),
        ({"port": 65536}, "invalid port: 65536"),
        ({"token": ""}, "token"),
        ({"token": "with blank"}, "token"),
        ({"token": "é"}, "token"),
        ({"dialect": "klingon"}, "guide, live, legacy"),
        ({"fail_rate": 1.5}, "fail_rate"),
        ({"http_error_rate": -0.1}, "http_error_rate"),
        ({"drop_rate": float("nan")}, "drop_rate"),
        ({"http_error_rate": 0.6, "drop_rate": 0.6}, "add up to more than 1"),
        ({"max_running": 0}, "max_running"),
        ({"max_running": parse_max_running("4,0@1s")}, "max_running"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ServeOptions(**options)


# Address and token


async def test_port_0_picks_a_free_port_and_a_port_in_use_is_reported() -> None:
    async with stage() as on:
        port = int(on.server.url.rsplit(":", 1)[1])
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is in use"):
            await CrewServer(ServeOptions(port=port)).start()


async def test_host() -> None:
    async with stage(host="0.0.0.0") as on:  # noqa: S104 - that is what is tested
        assert on.server.url.startswith("http://127.0.0.1:")
        assert (await on.get("/")).body == "Healthy"
    with pytest.raises(UsageError, match=r"cannot listen on no\.such\.host\.invalid"):
        await CrewServer(ServeOptions(host="no.such.host.invalid")).start()


async def test_a_token_is_made_for_each_server() -> None:
    one, other = CrewServer(), CrewServer()
    assert one.token != other.token
    assert len(one.token) >= 32
    async with one, aiohttp.ClientSession() as session:
        async with session.get(f"{one.url}/inputs", headers={"Authorization": f"Bearer {one.token}"}) as answer:
            assert answer.status == 200
        async with session.get(f"{one.url}/inputs", headers={"Authorization": f"Bearer {other.token}"}) as answer:
            assert answer.status == 401


async def test_a_server_can_be_stopped_twice_and_never_started() -> None:
    server = CrewServer()
    assert server.stats == {}
    assert server.kickoffs_of("x") == 0
    await server.stop()
    async with server:
        assert server.stats["kickoffs"] == 0
    await server.stop()


# Time and failure


async def test_execution_time_and_its_spread() -> None:
    async with stage(execution_time=Spread(7.0)) as on:
        assert await duration(on, INPUTS) == 7.0
    async with stage(execution_time=Spread(100.0, 0.2), seed=1) as on:
        times = [await duration(on, {**INPUTS, "age": age}) for age in range(60)]
        assert all(80 <= time <= 120 for time in times)
        assert max(times) - min(times) > 20


async def fates(seed: int | None, ages: list[int]) -> dict[int, list[Any]]:
    async with stage(seed=seed, fail_rate=0.5, execution_time=Spread(10.0, 0.9)) as on:
        found: dict[int, list[Any]] = {}
        for age in ages:
            kickoff_id = await on.started({"inputs": {**INPUTS, "age": age}})
            on.clock.advance(60)
            body = (await on.get(f"/status/{kickoff_id}")).body
            found.setdefault(age, []).append((body["status"], body["execution_time"]))
        return found


async def test_a_seed_repeats_the_rehearsal_in_whatever_order_the_jobs_come() -> None:
    ages = [*range(12), *range(12)]
    once = await fates(7, ages)
    assert once == await fates(7, ages[::-1])
    assert once != await fates(8, ages)
    assert await fates(None, ages) != await fates(None, ages)
    # the same inputs again are another execution: a job that failed may succeed when it is tried again
    assert any(first[0] != second[0] for first, second in once.values())


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.3, 40, 80), (1.0, 200, 200)])
async def test_fail_rate(rate: float, least: int, most: int) -> None:
    async with stage(fail_rate=rate, seed=3) as on:
        ids = [await on.started({"inputs": {**INPUTS, "age": age}}) for age in range(200)]
        on.clock.advance(60)
        words = [(await on.get(f"/status/{kickoff_id}")).body["status"] for kickoff_id in ids]
        assert least <= words.count("error") <= most


# Faults


async def outcome(on: Any, method: str, path: str, **how: Any) -> Any:
    try:
        return (await on.call(method, path, **how)).status
    except aiohttp.ClientConnectionError:
        return "dropped"


async def test_scripted_faults_of_a_kickoff() -> None:
    script: list[FaultLike] = [
        500,
        "drop_after_accept",
        200,
        "drop_before_accept",
        429,
        "502_after_accept",
        "error_after_accept",
        503,
    ]
    async with stage(faults=Faults(kickoff=script)) as on:
        kickoffs = 0
        for expected, started in [
            (500, 0), ("dropped", 1), (200, 1), ("dropped", 0), (429, 0), (502, 1), (500, 1), (503, 0), (200, 1),
        ]:  # fmt: skip
            assert await outcome(on, "POST", "/kickoff", json=KICKOFF) == expected
            kickoffs += started
            assert on.server.stats["kickoffs"] == kickoffs
        assert on.server.stats["disturbed"] == 7
        assert on.server.stats["kickoff_requests"] == 9


async def test_what_scripted_faults_look_like() -> None:
    html = Fault(status=200, body="<html>hello</html>", headers={"Content-Type": "text/html"}, started=True)
    date = Fault(status=503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    script: list[FaultLike] = [500, 502, 429, html, date]
    async with stage(faults=Faults(kickoff=script)) as on:
        answer = await on.kickoff()
        said = {"error": "Server Error", "message": "a failure on purpose, for this rehearsal"}
        assert (answer.status, answer.body) == (500, said)
        answer = await on.kickoff()
        assert (answer.status, answer.body) == (502, GATEWAY)
        answer = await on.kickoff()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        answer = await on.kickoff()
        assert (answer.status, answer.body) == (200, "<html>hello</html>")
        assert on.server.stats["kickoffs"] == 1
        answer = await on.kickoff()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "Wed, 21 Oct 2026 07:28:00 GMT")


async def test_scripted_faults_of_a_status_call() -> None:
    async with stage(faults=Faults(status=[500, "drop", 404, 200])) as on:
        path = f"/status/{await on.started()}"
        assert [await outcome(on, "GET", path) for _ in range(5)] == [500, "dropped", 404, 200, 200]


@pytest.mark.parametrize("word", ["crash", "after_accept", 99999, "drop_after"])
def test_an_unknown_fault_is_refused_at_once(word: Any) -> None:
    with pytest.raises(ValueError, match="invalid fault"):
        Faults(kickoff=[word])


async def test_http_error_rate() -> None:
    async with stage(http_error_rate=0.5, seed=5) as on:
        answers = []
        started_by_error = 0
        for _ in range(200):
            before = on.server.stats["kickoffs"]
            answer = await on.kickoff()
            answers.append(answer.status)
            started = on.server.stats["kickoffs"] - before
            if answer.status == 200 or answer.status == 503:
                # a crew that answers 503 has not started: only 500 and 502 leave a kickoff in doubt
                assert started == (answer.status == 200)
            else:
                started_by_error += started
        errors = 200 - answers.count(200)
        assert set(answers) == {200, 500, 502, 503}
        assert 70 < errors < 130
        assert 0.3 < started_by_error / errors < 0.7
        kickoff_id = await _some_id(on)
        statuses = [(await on.get(f"/status/{kickoff_id}")).status for _ in range(200)]
        assert set(statuses) == {200, 500, 502, 503}
        assert 70 < 200 - statuses.count(200) < 130
        assert {(await on.get("/inputs")).status for _ in range(20)} == {200}


async def _some_id(on: Any) -> str:
    while True:
        answer = await on.kickoff()
        if answer.status == 200:
            return str(answer.body["kickoff_id"])


async def test_a_503_says_when_to_come_again_sometimes() -> None:
    async with stage(http_error_rate=1.0, seed=1) as on:
        answers = [await on.get("/status/x") for _ in range(100)]
        waits = {answer.headers.get("Retry-After") for answer in answers if answer.status == 503}
        assert waits == {None, "1"}


async def test_drop_rate() -> None:
    async with stage(drop_rate=0.5, seed=5) as on:
        results, started_by_drop = [], 0
        for _ in range(200):
            before = on.server.stats["kickoffs"]
            results.append(await outcome(on, "POST", "/kickoff", json=KICKOFF))
            started_by_drop += (on.server.stats["kickoffs"] - before) if results[-1] == "dropped" else 0
        assert set(results) == {200, "dropped"}
        drops = results.count("dropped")
        assert 70 < drops < 130
        assert 0.3 < started_by_drop / drops < 0.7
        statuses = [await outcome(on, "GET", "/status/x") for _ in range(100)]
        assert set(statuses) == {404, "dropped"}


async def test_chance_is_passed_in() -> None:
    class Never(random.Random):
        def random(self) -> float:
            return 0.999

    clock = manual_clock()
    options = ServeOptions(token="t", drop_rate=0.9)
    async with (
        CrewServer(options, now=clock.epoch, rng=Never()) as server,
        aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session,
        session.post(f"{server.url}/kickoff", json=KICKOFF) as answer,
    ):
        assert answer.status == 200


# Limits and repeats


async def test_max_running() -> None:
    async with stage(max_running=2) as on:
        await on.started()
        on.clock.advance(4)
        await on.started()
        answer = await on.kickoff()
        assert (answer.status, answer.body) == (
            429,
            {"error": "Too Many Requests", "message": "2 executions are running, which is the limit (--max-running)"},
        )
        assert answer.headers["Retry-After"] == "6"
        on.clock.advance(6)
        await on.started()
        stats = on.server.stats
        assert (stats["running"], stats["peak_running"], stats["refused"], stats["kickoffs"]) == (2, 2, 1, 3)
    async with stage() as on:
        await asyncio.gather(*(on.started() for _ in range(30)))
        assert on.server.stats["peak_running"] == 30


async def test_a_capacity_that_changes() -> None:
    async with stage(max_running=parse_max_running("3,1@5s,2@100s")) as on:
        for _ in range(3):
            await on.started()
        on.clock.advance(5)
        answer = await on.kickoff()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
        assert answer.body["message"] == "3 executions are running, and the limit is 1 now (--max-running)"
        on.clock.advance(5)
        await on.started()
        assert (await on.kickoff()).status == 429
        on.clock.advance(90)
        await on.started()
        await on.started()
        assert (await on.kickoff()).status == 429


async def test_execution_times_that_change() -> None:
    async with stage(execution_time=Phases.parse("5s,50s@2", Spread.parse)) as on:
        assert [await duration(on, {**INPUTS, "age": n}) for n in range(3)] == [5.0, 5.0, 50.0]


async def test_a_repeated_key_starts_nothing_even_when_no_more_may_run() -> None:
    async with stage(max_running=1) as on:
        assert (await on.get("/inputs")).headers["Idempotency-Key"] == "supported"
        first = await on.started(headers={"Idempotency-Key": "a"})
        assert await on.started(headers={"Idempotency-Key": "a"}) == first
        assert (await on.kickoff(headers={"Idempotency-Key": "b"})).status == 429
        stats = on.server.stats
        assert (stats["kickoffs"], stats["repeated"], stats["running"]) == (1, 1, 1)


async def test_a_repeat_finds_the_execution_whose_answer_was_lost() -> None:
    async with stage(faults=Faults(kickoff=["drop_after_accept"])) as on:
        with pytest.raises(aiohttp.ClientConnectionError):
            await on.kickoff(headers={"Idempotency-Key": "a"})
        kickoff_id = await on.started(headers={"Idempotency-Key": "a"})
        assert (await on.get(f"/status/{kickoff_id}")).status == 200
        assert on.server.stats["kickoffs"] == 1


async def test_no_idempotency() -> None:
    async with stage(idempotency=False) as on:
        assert "Idempotency-Key" not in (await on.get("/inputs")).headers
        first = await on.started(headers={"Idempotency-Key": "a"})
        assert await on.started(headers={"Idempotency-Key": "a"}) != first
        await on.started(headers={"Idempotency-Key": "x" * 300})
        assert on.server.stats["kickoffs"] == 3


async def test_kickoffs_are_counted_by_job() -> None:
    def said(batch: Any, job: Any) -> dict[str, Any]:
        return {"inputs": INPUTS, "meta": {"batchcrew": {"batch": batch, "job": job, "attempt": "1"}}}

    async with stage() as on:
        for batch, job in [("b", "one"), ("b", "two"), ("c", "one"), ("b", "one")]:
            await on.started(said(batch, job))
        assert on.server.stats["max_kickoffs_per_job"] == 2
        assert on.server.kickoffs_of("one") == 3
        assert on.server.kickoffs_of("two") == 1
        assert on.server.kickoffs_of("three") == 0
        other: list[dict[str, Any]] = [{}, {"batchcrew": 3}, {"batchcrew": {}}, {"batchcrew": {"job": ["x"]}}]
        for meta in other:
            await on.started({"inputs": INPUTS, "meta": meta})
        await on.started(said({"a": 1}, "one"))
        await on.started(said("b", "x" * 10_000))
        assert on.server.stats["max_kickoffs_per_job"] == 2
        assert on.server.stats["kickoffs"] == 10
