"""Webhooks: their tokens, their bodies in all spellings, the listener, and what they change about an attempt."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock

import aiohttp
import pytest
from manual_clock import ManualClock
from pydantic import ValidationError

from batchcrew.app.webhooks import human_check, with_options
from batchcrew.base.errors import UsageError
from batchcrew.config.webhooks import Address, WebhookSettings
from batchcrew.crew import webhook_listener
from batchcrew.crew.human_webhooks import HumanWebhookCheck
from batchcrew.crew.payload import NotUnderstood
from batchcrew.crew.webhook_bodies import crew_execution, read_webhook
from batchcrew.crew.webhook_listener import WebhookListener
from batchcrew.crew.webhook_signature import signature
from batchcrew.crew.webhook_urls import addressee, webhook_fields, webhook_url
from batchcrew.engine.observe.announced import AnnouncedWatcher
from batchcrew.engine.observe.watcher import Observation
from batchcrew.engine.webhooks import REPEATED_SECONDS, Webhooks
from batchcrew.model.attempt import Attempt
from batchcrew.model.events import Announced, Event
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.webhook import Webhook, WebhookCounts, WebhookUrls

SECRET = b"s" * 32
URLS = WebhookUrls(base="https://hooks.example.com/batchcrew", secret=SECRET)
META = {"batchcrew": {"batch": "b", "job": "j", "attempt": "run-000001"}}


def attempt(number: int = 1, kickoff_id: str | None = "k1") -> Attempt:
    return Attempt(
        attempt_id=f"run-{number:06d}",
        batch="b",
        job_key=number,
        job_id=f"job-{number}",
        crew="default",
        number=1,
        attempts_used=1,
        inputs={},
        meta={},
        intended_at="2026-01-01T00:00:00.000Z",
        kickoff_id=kickoff_id,
    )


class Received:
    """The webhooks of a run, without a listener."""

    def __init__(self, settings: WebhookSettings | None = None) -> None:
        self.clock = ManualClock()
        self.stored: list[Webhook] = []
        self.events: list[Event] = []
        self.all = Webhooks(
            settings or WebhookSettings(listen="127.0.0.1:0"),
            clock=self.clock,
            store=self.stored.append,
            observe=self.events.append,
        )
        self.counts = self.all.counts

    async def __call__(self, number: int = 1, **webhook: Any) -> None:
        await self.all.receive(Webhook(attempt_id=f"run-{number:06d}", **webhook))


async def test_tokens_that_only_a_webhook_names_count() -> None:
    """The result is that of the status; a webhook without a body, or an answer with tokens, changes nothing."""
    usage, other = {"total_tokens": 7}, {"total_tokens": 1}
    for body, in_answer, expected in (("…", None, usage), ("…", other, other), ("", None, None)):
        received = Received()
        box = received.all.open(attempt())
        await received(ended=True, body=body)
        answer = Execution(state=ExecutionState.SUCCEEDED, word="completed", output="polled", token_usage=in_answer)
        requests = AsyncMock()
        requests.send.return_value = Observation(answer, 0.0)
        requests.ran_until = lambda moment: None
        watcher = AnnouncedWatcher(
            requests,
            box,
            received.clock,
            net=lambda: None,
            on_end=lambda announced: None,
            reported=lambda body, answer=answer: replace(answer, output="sent", token_usage=usage),  # type: ignore[misc]
        )
        found = await watcher.next(within=60)
        assert isinstance(found, Observation)
        assert found.answer == replace(answer, token_usage=expected)


# Tokens


def test_a_path_names_its_attempt_only_with_its_token() -> None:
    url = webhook_url(URLS, "run-000001", "crew")
    assert url.startswith("https://hooks.example.com/batchcrew/run-000001/")
    path = url.removeprefix("https://hooks.example.com")
    assert addressee(SECRET, path) == ("run-000001", "crew")
    assert addressee(SECRET, path.removeprefix("/batchcrew")) == ("run-000001", "crew")  # the proxy removed it
    assert addressee(b"t" * 32, path) is None
    assert addressee(SECRET, path.replace("000001", "000002")) is None
    assert addressee(SECRET, path.removesuffix("crew") + "other") is None
    for wrong in ("", "/", "/crew", "//x/crew", path[:-6] + "/crew", "/" * 5000):
        assert addressee(SECRET, wrong) is None


def test_a_kickoff_names_the_urls_that_were_requested() -> None:
    assert list(webhook_fields(URLS, "a-1")) == ["crewWebhookUrl"]
    all_of_them = WebhookUrls(base="http://x", secret=SECRET, tasks=True, steps=True, events=("task_started",))
    fields = webhook_fields(all_of_them, "a-1")
    assert list(fields) == ["crewWebhookUrl", "taskWebhookUrl", "stepWebhookUrl", "webhooks"]
    assert fields["webhooks"]["events"] == ["task_started"]
    assert fields["webhooks"]["url"].endswith("/events")
    assert "secret" not in repr(all_of_them)


# Bodies


@pytest.mark.parametrize(
    ("body", "state", "output"),
    [
        ({"kickoff_id": "k", "status": "completed", "result": {"output": "text", "tasks": []}}, "succeeded", "text"),
        (
            {"kickoff_id": "k", "result": "text", "token_usage": {}, "meta": META},
            "succeeded",
            "text",
        ),
        ({"kickoff_id": "k", "state": "SUCCESS", "result": "text"}, "succeeded", "text"),
        ({"data": {"kickoff_id": "k", "status": "completed", "result": "text"}}, "succeeded", "text"),
        ({"kickoff_id": "k", "status": "error", "error": "no credit"}, "failed", None),
    ],
)
def test_a_crew_webhook_in_all_spellings(body: dict[str, Any], state: str, output: str | None) -> None:
    raw = json.dumps(body).encode()
    [webhook] = read_webhook("run-000001", "crew", raw)
    assert (webhook.ended, webhook.kickoff_id) == (True, "k")
    execution = crew_execution(raw)
    assert execution is not None
    assert (execution.state, execution.output) == (ExecutionState(state), output)


def test_a_crew_webhook_without_a_result_is_only_a_hint() -> None:
    [webhook] = read_webhook("a", "crew", b'{"kickoff_id": 7, "meta": {"batchcrew": {"attempt": "b"}}}')
    assert (webhook.ended, webhook.kickoff_id, webhook.contradicts_itself) == (True, "7", True)
    assert crew_execution(b'{"kickoff_id": "k"}') is None
    [running] = read_webhook("a", "crew", b'{"kickoff_id": "k", "status": "running"}')
    assert not running.ended


def test_events_and_tasks() -> None:
    events = [
        {"id": "1", "execution_id": "k", "type": "task_started", "data": {"task_name": "plan"}},
        {"id": "2", "execution_id": "k", "type": "task_completed", "data": {"task_name": "research"}},
        {"id": "3", "execution_id": "k", "type": "crew_kickoff_completed", "data": {}},
        "nonsense",
    ]
    found = read_webhook("a", "events", json.dumps({"events": events}).encode())
    assert [(one.current_task, one.task, one.ended) for one in found] == [
        ("plan", None, False),
        (None, "research", False),
        (None, None, True),
    ]
    [task] = read_webhook("a", "task", json.dumps({"name": "research", "output": "x", "meta": META}).encode())
    assert (task.task, task.names, task.ended) == ("research", "run-000001", False)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff\xfe", b'{"a":' * 2000, b'{"events": 1}'])
def test_a_malformed_body_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_webhook("a", "events", body)


# Attempts


async def test_the_end_counts_once() -> None:
    received = Received()
    box = received.all.open(attempt())
    await received(ended=True, kickoff_id="k1")
    await received(ended=True, kickoff_id="k1")
    assert box.take_end() is not None
    assert box.take_end() is None
    assert received.counts.repeated == 1
    assert [type(event) for event in received.events] == [Announced]
    received.clock.advance(REPEATED_SECONDS)
    await received(ended=True)  # after `/resume`, an execution ends again
    assert box.take_end() is not None


async def test_a_webhook_of_another_execution_changes_nothing() -> None:
    received = Received()
    box = received.all.open(attempt())
    await received(ended=True, kickoff_id="other")
    await received(ended=True, names="run-000002")
    assert box.take_end() is None
    assert received.counts.mismatched == 2


async def test_a_webhook_may_come_before_the_kickoffs_answer() -> None:
    received = Received()
    right, wrong = received.all.open(attempt(1, None)), received.all.open(attempt(2, None))
    await received(1, ended=True, kickoff_id="k1")
    await received(2, ended=True, kickoff_id="k2")
    right.accept("k1")
    wrong.accept("another")
    assert right.take_end() is not None
    assert wrong.take_end() is None
    assert received.counts.mismatched == 1


async def test_a_webhook_may_come_before_its_attempt_is_resumed_and_is_stored() -> None:
    received = Received()
    await received(ended=True, kickoff_id="k1")
    await received(ended=True, kickoff_id="k1")
    assert len(received.stored) == 1
    assert received.all.open(attempt()).take_end() is not None
    assert received.counts.late == 2


async def test_tasks_are_counted_once_in_any_order() -> None:
    received = Received()
    box = received.all.open(attempt())
    for name in ("plan", "research", "plan", "research"):
        await received(task=name)
    await received(current_task="research")  # its start arrives after its end
    assert (box.completed_tasks, box.current_task) == (2, None)
    assert received.counts.repeated == 2


async def test_webhooks_are_proven_by_arriving_and_not_any_more_by_missing() -> None:
    received = Received()
    for number in range(3):
        assert not received.all.proven("url")
        received.all.ended(attempt(number), "url", announced=True)
    assert received.all.proven("url")
    received.all.ended(attempt(7), "url", announced=False)
    assert not received.all.proven("url")
    await received(7, ended=True)  # the poll was only a little faster
    assert received.all.proven("url")


async def test_what_is_kept_for_unknown_attempts_is_bounded() -> None:
    received = Received()
    for number in range(3000):
        await received(number, ended=True)
    assert len(received.all._early) == 1000


# The listener


@asynccontextmanager
async def listening(
    *, blocked: bool = False, human: HumanWebhookCheck | None = None
) -> AsyncIterator[tuple[str, WebhookCounts, list[Webhook]]]:
    counts, received = WebhookCounts(), list[Webhook]()
    over = asyncio.Event()

    async def receive(webhook: Webhook) -> None:
        received.append(webhook)
        if blocked:
            await over.wait()

    async with WebhookListener(
        Address("127.0.0.1", 0), SECRET, counts, receive, clock=ManualClock(), human=human
    ) as listener:
        yield listener.url, counts, received
        over.set()


async def test_forged_malformed_and_oversized_webhooks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_listener, "MAX_BODY", 1000)
    async with listening() as (base, counts, received), aiohttp.ClientSession() as session:
        url = webhook_url(WebhookUrls(base=f"{base}/any/prefix", secret=SECRET), "run-000001", "crew")
        bodies = {
            url: [(b'{"kickoff_id": "k", "result": "x"}', 200), (b"nonsense", 200), (b"x" * 2000, 413)],
            f"{base}/run-000001/wrong/crew": [(b'{"kickoff_id": "k"}', 404)],
            f"{base}/": [(b"", 404)],
        }
        for where, requests in bodies.items():
            for body, status in requests:
                async with session.post(where, data=body) as answer:
                    assert answer.status == status
        async with session.get(url) as answer:
            assert answer.status == 404
        while len(received) < 2 or not counts.malformed:  # noqa: ASYNC110 - the listener has no event for tests
            await asyncio.sleep(0)
    assert (counts.received, counts.forged, counts.malformed, counts.oversized) == (3, 3, 1, 1)
    assert [webhook.body != "" for webhook in received] == [True, False]  # the oversized one is only a hint


async def test_a_full_queue_drops_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_listener, "MAX_QUEUED", 3)
    async with listening(blocked=True) as (base, counts, received), aiohttp.ClientSession() as session:
        url = webhook_url(WebhookUrls(base=base, secret=SECRET), "run-000001", "crew")
        answers = []
        for _ in range(8):
            async with session.post(url, data=b'{"result": "x"}') as answer:
                answers.append(answer.status)
        assert answers.count(503) == counts.dropped >= 3
        assert len(received) == 1


async def test_an_address_in_use_is_named() -> None:
    async with listening() as (base, counts, _):
        port = int(base.rpartition(":")[2])
        with pytest.raises(UsageError, match=str(port)):
            async with WebhookListener(
                Address("127.0.0.1", port), SECRET, counts, lambda _: asyncio.sleep(0), clock=ManualClock()
            ):
                pass


PAUSED = (
    b'{"execution_id": "k1", "kickoff_id": "k1", "task_id": "research", "status": "pending human input",'
    b' "agent": "Researcher", "output": "Take the train.", "meta": {"batchcrew": {"attempt": "run-000001"}}}'
)


def test_a_webhook_about_human_input_is_read() -> None:
    [webhook] = read_webhook("run-000001", "human", PAUSED)
    assert (webhook.paused, webhook.ended, webhook.kickoff_id, webhook.contradicts_itself) == (True, False, "k1", False)


async def test_a_webhook_about_human_input_must_be_signed_and_authorized() -> None:
    now = ManualClock().now()
    signed = {"X-Timestamp": str(int(now.timestamp()))}
    signed["X-Signature"] = signature(PAUSED, signed["X-Timestamp"], "s3")
    late = {"X-Timestamp": str(int(now.timestamp()) - 301)}
    late["X-Signature"] = signature(PAUSED, late["X-Timestamp"], "s3")
    token, basic = {"Authorization": "Bearer t-1"}, {"Authorization": "Basic dTpw"}
    wrong = signed | {"X-Signature": signed["X-Signature"][:-1] + "x"}
    tried: list[tuple[dict[str, Any], dict[str, str], int]] = [
        ({"secret": "s3"}, signed, 200),
        ({"secret": "s3"}, {}, 401),
        ({"secret": "s3"}, wrong, 401),
        ({"secret": "s3"}, late, 401),
        ({"authentication": {"strategy": "bearer", "token": "t-1"}}, token, 200),
        ({"authentication": {"strategy": "bearer", "token": "t-1"}}, basic, 401),
        ({"authentication": {"strategy": "basic", "username": "u", "password": "p"}}, basic, 200),
        ({"authentication": {"strategy": "basic", "username": "u", "password": "p"}}, {}, 401),
        ({"secret": "s3", "authentication": {"strategy": "bearer", "token": "t-1"}}, signed, 401),
        ({"secret": "s3", "authentication": {"strategy": "bearer", "token": "t-1"}}, signed | token, 200),
    ]
    for given, headers, status in tried:
        settings = WebhookSettings.model_validate({"listen": "127.0.0.1:0", "human": given})
        async with (
            listening(human=human_check(settings)) as (base, counts, received),
            aiohttp.ClientSession() as session,
        ):
            url = webhook_url(WebhookUrls(base=base, secret=SECRET), "run-000001", "human")
            async with session.post(url, data=PAUSED, headers=headers) as answer:
                assert answer.status == status, (given, headers)
            while status == 200 and not received:  # noqa: ASYNC110 - the listener has no event for tests
                await asyncio.sleep(0)
        assert (counts.forged, len(received)) == ((0, 1) if status == 200 else (1, 0))


async def test_a_webhook_about_human_input_that_was_not_requested_is_refused() -> None:
    async with listening() as (base, counts, received), aiohttp.ClientSession() as session:
        url = webhook_url(WebhookUrls(base=base, secret=SECRET), "run-000001", "human")
        async with session.post(url, data=PAUSED) as answer:
            assert answer.status == 404
    assert (counts.forged, received) == (1, [])


async def test_a_repeated_webhook_about_human_input_brings_no_further_poll_forward() -> None:
    received = Received()
    box = received.all.open(attempt())
    await received(paused=True, kickoff_id="k1")
    await received(paused=True, kickoff_id="k1")
    assert (box.take_pause(), box.take_pause(), received.counts.repeated) == (True, False, 1)
    received.clock.advance(REPEATED_SECONDS + 1)
    await received(paused=True, kickoff_id="k1")
    assert box.take_pause()
    await received(paused=True, kickoff_id="another")
    assert not box.take_pause()
    assert received.counts.mismatched == 1


# Settings


@pytest.mark.parametrize(
    "given",
    [
        {"listen": "nonsense"},
        {"listen": "127.0.0.1:70000"},
        {"listen": "0.0.0.0:8787"},
        {"public_url": "ftp://x"},
        {"public_url": "https://x/?token=1"},
        {"trust": True},
        {"human": {}},
        {"listen": "8787", "human": {"authentication": {"strategy": "bearer"}}},
        {"wait": "10s"},
        {"listen": "8787", "events": ["Not A Name"]},
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookSettings.model_validate(given)


def test_options_replace_the_job_files_settings() -> None:
    settings = with_options(WebhookSettings(listen="127.0.0.1:1", tasks=True), listen="8787", url="https://x/y/")
    assert (settings.listen, settings.public_url, settings.tasks) == ("127.0.0.1:8787", "https://x/y", True)
    with pytest.raises(UsageError, match="--webhook-listen"):
        with_options(WebhookSettings(), listen="x", url=None)
