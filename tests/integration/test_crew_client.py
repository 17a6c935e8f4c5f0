"""The client and servers that behave like those of deployed crews."""

import asyncio
import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from crew_wire import TOKEN, Request, WireServer, accepts, attempt, crew, http, says
from manual_clock import ManualClock

from batchcrew import __version__
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.config.crews import DemoCrew, RemoteCrew
from batchcrew.crew import CrewClient
from batchcrew.model.crew_answers import (
    Accepted,
    BadInputs,
    Busy,
    CrewInput,
    CrewInputs,
    Doubtful,
    NotSent,
    NotStarted,
    Unclear,
    Unusable,
)
from batchcrew.model.execution import Execution, ExecutionState

RUNNING = b'{"status": "running"}'


def route(answers: dict[str, bytes]) -> Any:
    """Answers by method and path; anything else is a 404."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.get(f"{request.method} {request.target}", http(404, b'{"error": "Not Found"}')))

    return script


# Kickoff


async def test_a_kickoff_is_sent_as_the_contract_says() -> None:
    async with WireServer(accepts("k-1")) as server, crew(server.url + "/base/") as client:
        assert await client.kickoff(attempt()) == Accepted("k-1")
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/base/kickoff")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["idempotency-key"] == "0e984725-c51c-4bf4-9960-e1c80e27aba0"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"batchcrew/{__version__}"
    assert request.json == {
        "inputs": {"budget": "1000 USD"},
        "meta": {
            "source": "nightly",
            "batchcrew": {"batch": "travel", "job": "tokyo", "attempt": "0e984725-c51c-4bf4-9960-e1c80e27aba0"},
        },
    }


@pytest.mark.parametrize("code", [200, 201, 202])
async def test_a_kickoff_id_counts_with_each_success_code(code: int) -> None:
    async with WireServer(says(http(code, b'{"kickoff_id": "k-1"}'))) as server, crew(server.url) as client:
        assert await client.kickoff(attempt()) == Accepted("k-1")
    assert len(server.requests) == 1


async def test_inputs_that_only_the_slow_json_can_write_arrive() -> None:
    inputs = {"big": 2**70, "half": "\ud83d", "nul": "\x00"}
    async with WireServer(accepts()) as server, crew(server.url) as client:
        assert await client.kickoff(attempt(inputs=inputs)) == Accepted("k-1")
    assert server.requests[0].json["inputs"] == inputs


async def test_inputs_that_are_not_json_fail_the_job_and_nothing_is_sent() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    async with WireServer(accepts()) as server, crew(server.url) as client:
        for value in ({1, 2}, object(), deep):
            answer = await client.kickoff(attempt(inputs={"x": value}))
            assert isinstance(answer, BadInputs)
            assert "cannot be written as JSON" in answer.reason
    assert server.requests == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, BadInputs),
        (422, BadInputs),
        (409, BadInputs),
        (401, Unusable),
        (402, Unusable),
        (403, Unusable),
        (404, Unusable),
        (405, Unusable),
        (407, Unusable),
        (408, Busy),
        (425, Busy),
        (429, Busy),
        (503, Busy),
        (500, Doubtful),
        (501, Doubtful),
        (502, Doubtful),
        (504, Doubtful),
        (599, Doubtful),
        (303, Doubtful),
        (307, Doubtful),
    ],
)
async def test_kickoff_codes(code: int, kind: type) -> None:
    async with WireServer(says(http(code, b'{"error": "no"}', "Retry-After: 7"))) as server, crew(server.url) as client:
        answer = await client.kickoff(attempt())
    assert type(answer) is kind
    assert len(server.requests) == 1
    if isinstance(answer, Busy):
        assert answer.retry_after == 7.0


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"OK", b"[]", b'{"kickoff_id": ""}', b"<html>", b"\xff", b'{"kickoff_id": null}']
)
@pytest.mark.parametrize("code", [200, 201, 202])
async def test_a_kickoff_answer_without_an_id_is_doubtful(code: int, body: bytes) -> None:
    async with WireServer(says(http(code, body))) as server, crew(server.url) as client:
        assert isinstance(await client.kickoff(attempt()), Doubtful)


@pytest.mark.parametrize(
    "body", [b'{"error": "Insufficient credits"}', b"<html><title>Log in</title></html>", b'{"success": false, "m": 1}']
)
@pytest.mark.parametrize("code", [200, 202])
async def test_an_error_in_a_success_is_a_refusal(code: int, body: bytes) -> None:
    async with WireServer(says(http(code, body))) as server, crew(server.url) as client:
        assert isinstance(await client.kickoff(attempt()), NotStarted)
    assert len(server.requests) == 1


async def test_the_content_type_is_not_trusted() -> None:
    answer = http(201, b'{"kickoff_id": "k-1"}', "Content-Type: text/plain; charset=utf-16")
    async with WireServer(says(answer)) as server, crew(server.url) as client:
        assert await client.kickoff(attempt()) == Accepted("k-1")


# Inputs


@pytest.mark.parametrize(
    ("header", "idempotent"), [("supported", True), ("Supported ", True), ("no", False), (None, False)]
)
async def test_inputs(header: str | None, idempotent: bool) -> None:
    headers = [] if header is None else [f"Idempotency-Key: {header}"]
    async with WireServer(says(http(200, b'{"inputs": ["budget"]}', *headers))) as server, crew(server.url) as client:
        expected = CrewInputs(inputs=(CrewInput(name="budget"),), idempotent_kickoff=idempotent)
        assert await client.inputs() == expected
    assert server.heard == ["GET /inputs"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401), Unusable),
        (http(403), Unusable),
        (http(404), Unclear),
        (http(405), Unclear),
        (http(500), Unclear),
        (http(200, b"<html>"), Unclear),
        (http(302, b"", "Location: http://sso.test/login"), Unusable),
    ],
)
async def test_other_answers_to_inputs_are_unusable_or_unclear(answer: bytes, kind: type) -> None:
    async with WireServer(says(answer)) as server, crew(server.url) as client:
        assert type(await client.inputs()) is kind


async def test_inputs_of_an_unreachable_crew() -> None:
    async with WireServer(accepts()) as server:
        url = server.url
    async with crew(url) as client:
        assert isinstance(await client.inputs(), NotSent)


# Status


async def test_a_status_is_understood() -> None:
    body = b'{"status": "completed", "result": {"output": "text", "tasks": []}, "execution_time": 1.5}'
    async with WireServer(says(http(200, body))) as server, crew(server.url) as client:
        assert await client.status("k/1") == Execution(
            state=ExecutionState.SUCCEEDED, word="completed", output="text", execution_time=1.5, answer=body.decode()
        )
    assert server.heard == ["GET /status/k%2F1"]
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, Unusable), (403, Unusable), (402, Unusable), (407, Unusable)]
    + [(code, Unclear) for code in (400, 409, 410, 422, 408, 425, 429, 500, 502, 503, 504, 304, 599)],
)
async def test_status_codes(code: int, kind: type) -> None:
    async with WireServer(says(http(code, b"", "Retry-After: 9"))) as server, crew(server.url) as client:
        answer = await client.status("k")
    assert type(answer) is kind
    assert server.heard == ["GET /status/k"]
    if isinstance(answer, Unclear):
        assert answer.retry_after == 9.0


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"status": null}', b'{"status": 3}', b"\xff"])
async def test_an_invalid_status_is_unclear(body: bytes) -> None:
    async with WireServer(says(http(200, body))) as server, crew(server.url) as client:
        assert isinstance(await client.status("k"), Unclear)


async def test_a_large_answer_is_complete() -> None:
    text = "x" * 5_000_000 + "\x00"
    body = json.dumps({"status": "completed", "result": text}).encode()
    async with WireServer(says(http(200, body))) as server, crew(server.url) as client:
        answer = await client.status("k")
    assert isinstance(answer, Execution)
    assert answer.output == text


async def test_an_unknown_word_is_warned_about_once() -> None:
    warnings: list[str] = []
    bodies = [b'{"status": "%s"}' % word for word in (b"warming", b"warming", b"cooling", b"running", b"warming")]
    async with (
        WireServer(says(*[http(200, body) for body in bodies])) as server,
        crew(server.url, warn=warnings.append) as client,
    ):
        for _ in bodies:
            answer = await client.status("k")
            assert isinstance(answer, Execution)
            assert answer.state is ExecutionState.RUNNING
    assert warnings == [
        f"crew research: unknown status '{word}' is treated as running" for word in ("warming", "cooling")
    ]


async def test_a_server_that_invents_words_does_not_flood_the_warnings() -> None:
    warnings: list[str] = []
    bodies = [http(200, b'{"status": "word%d"}' % number) for number in range(50)]
    async with WireServer(says(*bodies)) as server, crew(server.url, warn=warnings.append) as client:
        for _ in bodies:
            await client.status("k")
    assert len(warnings) == 20


# The two status routes


async def test_the_other_status_route_is_found_and_remembered(caplog: pytest.LogCaptureFixture) -> None:
    answers = {"GET /a/status": http(200, RUNNING), "GET /b/status": http(200, RUNNING)}
    async with WireServer(route(answers)) as server, crew(server.url) as client:
        with caplog.at_level(logging.DEBUG, logger="batchcrew.crew"):
            for kickoff_id in ("a", "b", "a"):
                answer = await client.status(kickoff_id)
                assert isinstance(answer, Execution)
                assert answer.state is ExecutionState.RUNNING
        unknown = await client.status("unknown")
    assert isinstance(unknown, Execution)
    assert unknown.state is ExecutionState.NOT_FOUND
    assert server.heard == [
        "GET /status/a",
        "GET /a/status",
        "GET /b/status",
        "GET /a/status",
        "GET /unknown/status",
    ]
    assert [record.getMessage() for record in caplog.records] == ["crew research answers on /{id}/status"]


async def test_405_falls_back_as_well() -> None:
    answers = {"GET /status/a": http(405), "GET /a/status": http(200, RUNNING)}
    async with WireServer(route(answers)) as server, crew(server.url) as client:
        assert isinstance(await client.status("a"), Execution)


async def test_an_unknown_id_does_not_turn_the_route() -> None:
    async with WireServer(route({"GET /status/a": http(200, RUNNING)})) as server, crew(server.url) as client:
        unknown = await client.status("unknown")
        assert isinstance(unknown, Execution)
        assert unknown.state is ExecutionState.NOT_FOUND
        assert unknown.answer == '{"error": "Not Found"}'
        assert isinstance(await client.status("a"), Execution)
        assert isinstance(await client.status("unknown"), Execution)
    # Once a route has answered, an unknown id costs one request.
    assert server.heard == ["GET /status/unknown", "GET /unknown/status", "GET /status/a", "GET /status/unknown"]


async def test_not_found_with_200_does_not_lead_to_other_paths() -> None:
    async with WireServer(says(http(200, b'{"status": "NOT_FOUND"}'))) as server, crew(server.url) as client:
        answer = await client.status("a")
    assert isinstance(answer, Execution)
    assert answer.state is ExecutionState.NOT_FOUND
    assert server.heard == ["GET /status/a"]


@pytest.mark.parametrize(
    ("first", "other", "kind"),
    [
        (404, http(404), ExecutionState.NOT_FOUND),
        (404, http(405), ExecutionState.NOT_FOUND),
        (405, http(404), ExecutionState.NOT_FOUND),
        (404, http(400), ExecutionState.NOT_FOUND),
        (404, http(200, b"<html>a page for every path"), ExecutionState.NOT_FOUND),
        (404, http(200, b'{"status": "not found"}'), ExecutionState.NOT_FOUND),
        (405, http(405), Unclear),
        # An answer that may hide a running execution must not make it lost: it would be paid for twice.
        (404, http(500), Unclear),
        (404, http(503), Unclear),
        (404, http(429), Unclear),
        (404, http(403), Unclear),
        (404, b"garbage\r\n\r\n", Unclear),
        (404, http(401), Unusable),
    ],
)
async def test_what_the_other_route_may_decide(first: int, other: bytes, kind: Any) -> None:
    answers = {"GET /status/a": http(first), "GET /a/status": other}
    async with WireServer(route(answers)) as server, crew(server.url) as client:
        answer = await client.status("a")
    if isinstance(kind, ExecutionState):
        assert isinstance(answer, Execution)
        assert answer.state is kind
    else:
        assert type(answer) is kind


# Tokens and URLs


async def test_a_crew_without_a_token_sends_none() -> None:
    async with WireServer(accepts()) as server, crew(server.url, token=None) as client:
        await client.kickoff(attempt())
    assert "authorization" not in server.requests[0].headers


async def test_a_token_with_a_line_break_at_its_end_is_trimmed() -> None:
    async with WireServer(accepts()) as server, crew(server.url, token="abc\n") as client:
        await client.kickoff(attempt())
    assert server.requests[0].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize("token", ["hunter2 x", "hunter2\nX-Evil: 1", "hunter2ü", "hunter2\x00"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(UsageError, match="token") as caught:
        crew("http://host", token=token)
    assert "hunter2" not in str(caught.value)


async def test_url_and_token_of_the_run_win_over_the_settings() -> None:
    async with WireServer(accepts()) as server:
        client = crew(server.url, override=True, token="from-settings")
        async with client:
            assert isinstance(await client.kickoff(attempt()), Accepted)
        settings = DemoCrew(token="from-settings")  # type: ignore[arg-type]  # pydantic makes it a secret
        overridden = CrewClient(
            "research", settings, url=server.url, token="of-the-run", concurrency=1, clock=SystemClock(), warn=print
        )
        async with overridden:
            await overridden.kickoff(attempt())
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer from-settings",
        "Bearer of-the-run",
    ]


async def test_a_token_over_plain_http_to_another_machine_is_warned_about() -> None:
    warnings: list[str] = []
    async with crew("http://crew.example.test", warn=warnings.append):
        pass
    async with crew("https://crew.example.test"), crew("http://127.0.0.1:1"), crew("http://h.test", token=None):
        pass
    assert warnings == ["crew research: the token is sent to crew.example.test unencrypted; use https:// in `url:`"]


@pytest.mark.parametrize("code", [200, 400, 401, 404, 429, 500])
async def test_a_server_that_echoes_the_token_brings_it_nowhere(code: int) -> None:
    for body in (
        json.dumps({"status": f"bearer {TOKEN}", "error": f"bad {TOKEN}", "inputs": [f"\n{TOKEN}"]}),
        f"<html><title>Bearer {TOKEN}</title>",
        f"Bearer {TOKEN}",
        json.dumps({"status": "error", "error": {"headers": {"Authorization": f"Bearer {TOKEN}"}}}),
    ):
        said: list[str] = []
        async with WireServer(says(http(code, body.encode()))) as server, crew(server.url, warn=said.append) as client:
            said += [repr(await client.kickoff(attempt())), repr(await client.status("k")), repr(await client.inputs())]
        assert TOKEN not in "\n".join(said)


async def test_a_short_token_does_not_eat_a_crews_result() -> None:
    body = b'{"status": "completed", "result": "a text with the word in it"}'
    async with WireServer(says(http(200, body))) as server, crew(server.url, token="text") as client:
        answer = await client.status("k")
    assert isinstance(answer, Execution)
    assert answer.output == "a text with the word in it"


async def test_the_servers_words_are_clean_and_short() -> None:
    body = json.dumps({"error": "\x1b[2Jbad\x00 input\n" + "x" * 10_000}).encode()
    async with WireServer(says(http(422, body))) as server, crew(server.url) as client:
        answer = await client.kickoff(attempt())
    assert isinstance(answer, BadInputs)
    assert answer.reason.isprintable()
    assert re.search("422 Unprocessable (Entity|Content): bad input xxx", answer.reason)  # by Python's version
    assert len(answer.reason) < 600


async def test_a_retry_after_date_is_compared_with_the_clock_that_was_passed_in() -> None:
    clock = ManualClock(datetime(2020, 1, 1, 12, 0, 0, tzinfo=UTC))
    answer = http(429, b"", "Retry-After: Wed, 01 Jan 2020 12:00:42 GMT")
    async with WireServer(says(answer)) as server:
        settings = RemoteCrew(url=server.url)
        async with CrewClient("research", settings, concurrency=1, clock=clock, warn=print) as client:
            busy = await client.kickoff(attempt())
    assert isinstance(busy, Busy)
    assert (busy.retry_after, busy.too_many) == (42.0, True)
