"""`/resume` as the client sends it, and what its answers mean."""

from typing import Any

import pytest
from crew_wire import WireServer, attempt, crew, http, says

from batchcrew.app.webhook_extras import kickoff_extras
from batchcrew.config.human import HumanSettings
from batchcrew.config.settings import RunSettings
from batchcrew.crew.extras import no_extras
from batchcrew.model.crew_answers import Accepted, BadInputs, Busy, Doubtful, NotResumed, NotSent, Resumed, Unusable
from batchcrew.model.waits import Decision

REJECT = Decision(approve=False, feedback="cheaper")
WAITS = attempt(kickoff_id="k-1")


async def test_a_decision_is_sent_as_the_contract_says_and_the_urls_of_webhooks_are_repeated() -> None:
    urls: dict[str, Any] = {"taskWebhookUrl": "https://t", "stepWebhookUrl": "https://s", "crewWebhookUrl": "https://c"}
    async with (
        WireServer(says(http(200, b'{"status": "retrying", "message": "ok"}'))) as server,
        crew(server.url) as client,
    ):
        client.extras = lambda attempt_id: {**urls, "humanInputWebhook": {"url": "https://h"}}
        assert await client.resume(WAITS, "t-1", REJECT) == Resumed("retrying")
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/resume")
    assert request.json == {
        "execution_id": "k-1",
        "task_id": "t-1",
        "human_feedback": "cheaper",
        "is_approve": False,
        **urls,
    }


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (200, b'{"status": "resumed", "message": "ok"}', Resumed),
        (202, b'{"data": {"status": "completed"}}', Resumed),
        (200, b"<html>Sign in</html>", Doubtful),
        (200, b"{}", Doubtful),
        (400, b'{"error": "Bad Request", "message": "not waiting"}', NotResumed),
        (404, b'{"error": "Not Found"}', NotResumed),
        (422, b'{"detail": "no"}', NotResumed),
        (401, b"{}", Unusable),
        (429, b"{}", Busy),
        (503, b"{}", Busy),
        (500, b"{}", Doubtful),
        (504, b"<html></html>", Doubtful),
    ],
)
async def test_the_meaning_of_an_answer(code: int, body: bytes, kind: type[Any]) -> None:
    async with WireServer(says(http(code, body))) as server, crew(server.url) as client:
        assert isinstance(await client.resume(WAITS, "t-1", REJECT), kind)
    assert len(server.requests) == 1


async def test_what_never_left_is_known_not_to_have_arrived() -> None:
    async with WireServer(says(b"")) as server:
        url = server.url
    async with crew(url) as client:
        assert isinstance(await client.resume(WAITS, "t-1", REJECT), NotSent)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"strategy": "bearer", "token": "a-token"}, {"strategy": "bearer", "token": "a-token"}),
        (
            {"strategy": "basic", "username": "u", "password": "a-password"},
            {"strategy": "basic", "username": "u", "password": "a-password"},
        ),
    ],
)
async def test_a_kickoff_has_the_human_input_webhook_of_the_job_file(
    given: dict[str, str], sent: dict[str, str]
) -> None:
    webhook = {"url": "https://example.com/waiting", "authentication": given}
    settings = RunSettings(human=HumanSettings.model_validate({"webhook": webhook}))
    assert "a-token" not in repr(settings)
    assert "a-password" not in repr(settings)
    async with WireServer(says(http(200, b'{"kickoff_id": "k-1"}'))) as server, crew(server.url) as client:
        client.extras = kickoff_extras(None, settings, no_extras)
        assert await client.kickoff(attempt()) == Accepted("k-1")
    assert server.requests[0].json["humanInputWebhook"] == {**webhook, "authentication": sent}


@pytest.mark.parametrize(
    "given",
    [
        {"strategy": "bearer"},
        {"strategy": "bearer", "token": "t", "username": "u"},
        {"strategy": "basic", "username": "u"},
        {"strategy": "digest", "token": "t"},
    ],
)
def test_an_incomplete_authentication_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="strategy"):
        HumanSettings.model_validate({"webhook": {"url": "https://example.com", "authentication": given}})


@pytest.mark.parametrize(("field", "hinted"), [("crewWebhookUrl", True), ("budget", False)])
async def test_a_refusal_that_names_a_webhook_field_says_what_to_set(field: str, *, hinted: bool) -> None:
    said = http(422, b'{"detail": [{"loc": ["body", "%s"], "msg": "Extra inputs are not permitted"}]}' % field.encode())
    async with WireServer(says(said)) as server, crew(server.url) as client:
        client.extras = lambda attempt_id: {"crewWebhookUrl": "https://c"}
        answer = await client.kickoff(attempt())
    assert isinstance(answer, BadInputs)
    assert ("webhooks: false" in answer.reason) is hinted
