"""`doctor` at crews that are wrong in each way: the check that finds it, its level, and how many kickoffs were paid."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from crew_wire import CERTIFICATE, TOKEN, Close, Request, Script, WireServer, http, server_tls
from manual_clock import ManualClock
from pydantic import SecretStr

from batchcrew.app.doctor import DoctorTarget, KickoffLimits, examine, first_job, kick_off, target_of_url
from batchcrew.app.wiring import Crews
from batchcrew.base.clock import Clock, SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.config.crews import RemoteCrew
from batchcrew.crew.examination import LIMITS
from batchcrew.model.diagnosis import CrewExamination, Diagnosis, KickoffExamination, Level
from batchcrew.server import CrewServer, Fault, Faults, ServeOptions, Spread

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM
INPUTS = {"budget": "1", "interests": "x", "duration": "1 day", "age": "3"}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def crew() -> AsyncIterator[CrewServer]:
    async with CrewServer(ServeOptions(token=TOKEN, execution_time=Spread(0.0), seed=3)) as server:
        yield server


async def examined(
    url: str, token: str | None = TOKEN, *, limit: float = 20.0, clock: Clock | None = None
) -> CrewExamination:
    (found,) = await examine(target_of_url(url, token, {}), clock=clock or SystemClock(), limit=limit)
    for each in found.diagnoses:
        assert each.text.isprintable(), each
        assert TOKEN not in each.text + each.fix
        assert each.fix or each.level is OK
    return found


def levels(found: CrewExamination | KickoffExamination) -> dict[str, Level]:
    return {each.check: each.level for each in found.diagnoses}


def diagnosis(found: CrewExamination, check: str) -> Diagnosis:
    return next(each for each in found.diagnoses if each.check == check)


Answers = Mapping[str, bytes]


def answering(answers: Answers, otherwise: bytes = http(404, b'{"detail": "Not Found"}')) -> Script:
    """Answer each `METHOD /path`; the last segment of a status request is left out."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        path = "/status" if request.target.startswith("/status/") else request.target
        writer.write(answers.get(f"{request.method} {path}", otherwise))
        await writer.drain()

    return script


LISTED = http(200, b'{"inputs": ["topic"]}')


# A healthy crew


async def test_a_healthy_crew_has_no_problem_and_gets_no_kickoff(crew: CrewServer) -> None:
    found = await examined(crew.url)
    assert levels(found) == dict.fromkeys(
        (
            "reachable", "proxy", "token", "inputs", "repeats", "kickoff", "status", "latency", "clock", "keep-alive",
            "webhooks",
        ),
        OK,
    )  # fmt: skip
    assert found.inputs is not None
    assert found.inputs.required == tuple(INPUTS)
    assert crew.stats["kickoff_requests"] == 0


@pytest.mark.parametrize("dialect", ["guide", "legacy", "live"])
async def test_the_status_paths_of_each_dialect_are_found(dialect: str) -> None:
    async with CrewServer(ServeOptions(token=TOKEN, dialect=dialect)) as server:
        found = await examined(server.url)
    assert diagnosis(found, "status").level is OK
    assert "/{id}/status" in diagnosis(found, "status").text


# The way to the server


async def test_a_refused_connection(crew: CrewServer) -> None:
    url = crew.url
    await crew.stop()
    assert levels(await examined(url)) == {"reachable": PROBLEM}


async def test_an_unknown_host() -> None:
    found = await examined("http://no-such-crew.invalid")
    assert levels(found)["reachable"] is PROBLEM
    assert "no-such-crew.invalid" in diagnosis(found, "reachable").text


async def test_a_certificate_that_is_not_trusted_and_one_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with WireServer(answering({"GET /inputs": LISTED}), tls=server_tls()) as server:
        url = f"https://localhost:{server.port}"
        found = await examined(url)
        assert levels(found) == {"tls": PROBLEM}
        assert "SSL_CERT_FILE" in diagnosis(found, "tls").fix
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        found = await examined(url)
    assert diagnosis(found, "tls").level is OK
    assert "TLSv1." in diagnosis(found, "tls").text


async def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    async with WireServer(answering({"GET http://crew.test/inputs": LISTED})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:pass-word@"))
        found = await examined("http://crew.test")
    assert f"127.0.0.1:{proxy.port}" in diagnosis(found, "proxy").text
    assert "pass-word" not in str(found)
    assert levels(found)["url"] is WARNING  # the token is sent unencrypted


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with WireServer(answering({})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert levels(await examined("http://crew.test"))["proxy"] is PROBLEM


async def test_a_redirect_to_another_host_is_a_wrong_url() -> None:
    moved = http(302, b"", "Location: https://login.example.com/?next=x")
    async with WireServer(answering({}, moved)) as server:
        found = await examined(server.url)
    assert levels(found) == {"url": PROBLEM}
    assert "login.example.com" in diagnosis(found, "url").text


async def test_a_permanent_redirect_on_the_same_host_is_a_warning() -> None:
    moved = http(301, b"", "Location: /v2/inputs")
    async with WireServer(answering({"GET /inputs": moved, "GET /v2/inputs": LISTED})) as server:
        found = await examined(server.url)
    assert diagnosis(found, "url").level is WARNING
    assert "/v2/inputs" in diagnosis(found, "url").text


# Time


async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def dripping(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("script", [silent, dripping])
async def test_a_server_that_never_completes_an_answer_ends_the_examination(script: Script) -> None:
    async with WireServer(script) as server:
        found = await examined(server.url, limit=0.05)
        assert len(server.requests) <= 1
    assert levels(found) == {"reachable": PROBLEM}


async def test_all_requests_together_have_a_time_limit() -> None:
    clock = ManualClock(jumps=True)

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.target == "/inputs":
            writer.write(LISTED)
        else:
            await dripping(request, writer)
        if len(server.requests) == 2:  # both of /inputs are answered
            clock.advance(LIMITS * 20.0 - 0.05)

    async with WireServer(script) as server:
        found = await examined(server.url, limit=20.0, clock=clock)
    assert levels(found)["inputs"] is OK
    assert levels(found)["kickoff"] is WARNING
    assert levels(found)["status"] is WARNING


@pytest.mark.parametrize(("hours", "level"), [(0, OK), (2, WARNING), (-2, WARNING)])
async def test_the_clocks_are_compared(hours: int, level: Level) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    dated = http(200, b'{"inputs": []}', f"Date: {date}")
    async with WireServer(answering({"GET /inputs": dated})) as server:
        assert levels(await examined(server.url))["clock"] is level


async def closes_each(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"inputs": []}')
    await writer.drain()
    raise Close


async def test_a_server_of_http_1_0_closes_each_connection() -> None:
    async with WireServer(closes_each) as server:
        found = await examined(server.url)
    assert diagnosis(found, "keep-alive").level is WARNING
    assert "HTTP/1.0" in diagnosis(found, "keep-alive").text


async def test_a_server_that_closes_idle_connections_early() -> None:
    short = http(200, b'{"inputs": []}', "Keep-Alive: timeout=1, max=100")
    async with WireServer(answering({"GET /inputs": short})) as server:
        assert levels(await examined(server.url))["keep-alive"] is WARNING


# The token


@pytest.mark.parametrize("token", ["a-wrong-token", ""])
async def test_a_wrong_token(crew: CrewServer, token: str) -> None:
    found = await examined(crew.url, token)
    assert levels(found)["token"] is PROBLEM
    assert "inputs" not in levels(found)


async def test_inputs_that_are_listed_without_the_token_show_nothing_about_it() -> None:
    async with WireServer(answering({"GET /inputs": LISTED})) as server:
        found = await examined(server.url)
        sent = [request.headers.get("authorization") for request in server.requests[:2]]
    assert diagnosis(found, "token").level is WARNING
    assert sent == [f"Bearer {TOKEN}", ""]


async def test_a_token_that_may_not_read_executions() -> None:
    answers = {"GET /inputs": LISTED, "GET /status": http(403, b'{"detail": "Forbidden"}')}
    async with WireServer(answering(answers)) as server:
        assert levels(await examined(server.url))["status"] is PROBLEM


# What the server is


async def test_a_page_is_a_wrong_url() -> None:
    page = http(200, b"<!doctype html><title>Sign in</title><p>hello", "Content-Type: text/html")
    async with WireServer(answering({}, page)) as server:
        found = await examined(server.url)
    assert levels(found)["inputs"] is PROBLEM
    assert levels(found)["status"] is WARNING  # the page is everywhere, also where nothing is
    assert found.has_problem


async def test_a_crew_without_inputs_has_a_warning() -> None:
    answers = {"OPTIONS /kickoff": http(405), "GET /status": http(404, b'{"detail": "execution not found"}')}
    async with WireServer(answering(answers)) as server:
        found = await examined(server.url)
    assert levels(found)["inputs"] is WARNING
    assert (levels(found)["kickoff"], levels(found)["status"]) == (OK, OK)
    assert not found.has_problem


async def test_a_server_without_any_path_of_the_crew_api_is_a_wrong_url() -> None:
    async with WireServer(answering({})) as server:
        found = await examined(server.url)
    assert levels(found)["kickoff"] is PROBLEM


async def test_what_a_crew_says_is_harmless_and_without_the_token() -> None:
    said = json.dumps({"inputs": [{"name": "a", "type": f"\x1b[31m{TOKEN}\u202e"}, {"name": TOKEN}]}).encode()
    bad = http(500, f"\x1b]0;owned\x07 {TOKEN}".encode())
    async with WireServer(answering({"GET /inputs": said and http(200, said)}, bad)) as server:
        found = await examined(server.url)
    assert levels(found)["inputs"] is WARNING
    assert "\x1b" not in str(found)
    assert TOKEN not in str(found)


# One kickoff


def at(url: str, **settings: Any) -> DoctorTarget:
    crew = RemoteCrew(url=url, token=SecretStr(TOKEN), **settings)
    return DoctorTarget(crews=Crews({"default": crew}, Path()))


async def kicked_off(
    url: str | DoctorTarget, inputs: Mapping[str, str] = INPUTS, **limits: float
) -> KickoffExamination:
    target, reported = at(url) if isinstance(url, str) else url, list[str]()
    clock = ManualClock(jumps=True)
    job = await first_job(target, await examine(target, clock=clock, limit=20.0), inputs)
    found = await kick_off(
        target,
        job,
        KickoffLimits(**{"request": 20.0, "execution": 60.0, **limits}),
        clock=clock,
        report=reported.append,
    )
    assert found.attempt_id in reported[0]
    assert [each for each in reported[1:] if found.kickoff_id] == (
        [f"kickoff_id: {found.kickoff_id}"] * bool(found.kickoff_id)
    )
    return found


@pytest.mark.parametrize(
    ("dialect", "path", "word"),
    [
        ("guide", "/status/{id}", "completed"),
        ("legacy", "/{id}/status", "success"),
        ("live", "/status/{id}", "SUCCESS"),
    ],
)
async def test_one_kickoff_shows_the_rest(dialect: str, path: str, word: str) -> None:
    options = ServeOptions(token=TOKEN, execution_time=Spread(0.0), seed=3, dialect=dialect)
    async with CrewServer(options) as server:
        found = await kicked_off(server.url)
        assert server.stats["kickoff_requests"] == 1
    assert found.ended
    assert found.status_path == path
    assert found.status_words[-1:] == (word,)
    assert not found.has_problem
    assert levels(found)["result"] is OK


async def test_a_kickoff_without_an_answer_is_not_sent_again() -> None:
    faults = Faults(kickoff=[Fault(status=None, started=True)])
    async with CrewServer(ServeOptions(token=TOKEN), faults=faults) as server:
        found = await kicked_off(server.url)
        assert (server.stats["kickoff_requests"], server.stats["kickoffs"]) == (1, 1)
    assert found.kickoff_id is None
    assert levels(found) == {"kickoff": PROBLEM}


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (http(429, b"", "Retry-After: 1"), WARNING),
        (http(422, b'{"error": "budget is wrong"}'), PROBLEM),
        (http(401, b""), PROBLEM),
        (http(404, b""), PROBLEM),
        (http(500, b""), PROBLEM),
        (http(200, b'{"error": "nothing was started"}'), PROBLEM),
        (http(200, b'{"result": {"raw": "the answer"}}'), WARNING),  # `sync: true` is missing
    ],
    ids=["429", "422", "401", "404", "500", "an error", "the result"],
)
async def test_each_answer_to_the_kickoff_is_a_diagnosis(answer: bytes, level: Level) -> None:
    async with WireServer(answering({"GET /inputs": LISTED, "POST /kickoff": answer})) as server:
        found = await kicked_off(server.url, {"topic": "x"})
        assert [request.method for request in server.requests].count("POST") == 1
    assert levels(found)["kickoff"] is level


@pytest.mark.parametrize(
    ("status", "check", "level"),
    [
        ({"status": "warming up"}, "execution", WARNING),
        ({"status": "running"}, "execution", WARNING),
        ({"status": "error", "error": "no model"}, "result", PROBLEM),
        ({"status": "completed", "result": ""}, "result", WARNING),
        ({"status": "pending human input"}, "result", WARNING),
    ],
)
async def test_each_end_of_the_execution_is_a_diagnosis(status: Mapping[str, Any], check: str, level: Level) -> None:
    answers = {
        "GET /inputs": LISTED,
        "POST /kickoff": http(200, b'{"kickoff_id": "k-1"}'),
        "GET /status": http(200, json.dumps(status).encode()),
    }
    async with WireServer(answering(answers)) as server:
        found = await kicked_off(server.url, {"topic": "x"}, execution=3.0)
    assert levels(found)[check] is level
    assert found.status_words == (status["status"],)
    assert (levels(found)["words"] is WARNING) == (status["status"] == "warming up")


@pytest.mark.parametrize(("answer", "level"), [(b'{"result": "the answer"}', OK), (b'{"kickoff_id": "k-1"}', WARNING)])
async def test_a_synchronous_crew_is_not_polled_by_the_examination(answer: bytes, level: Level) -> None:
    done = http(200, b'{"status": "completed", "result": "the answer"}')
    answers = {"GET /inputs": LISTED, "POST /kickoff": http(200, answer), "GET /status": done}
    async with WireServer(answering(answers)) as server:
        target = at(server.url, sync=True)
        (found,) = await examine(target, clock=SystemClock(), limit=20.0)
        assert "status" not in levels(found)
        assert not any(request.target.startswith("/status/") for request in server.requests)
        kickoff = await kicked_off(target, {"topic": "x"})
    assert levels(kickoff)["kickoff"] is level
    assert levels(kickoff)["result"] is OK


async def test_missing_inputs_are_found_before_the_kickoff(crew: CrewServer) -> None:
    target = target_of_url(crew.url, TOKEN, {})
    with pytest.raises(UsageError, match="--input age="):
        await first_job(target, await examine(target, clock=SystemClock(), limit=20.0), {"budget": "1"})
