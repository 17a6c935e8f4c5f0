"""Decisions whose answer is lost or refused: what is sent again, what is put on hold, what is skipped."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from engine_bench import Faults, serving

from batchcrew.app import answer as answer_module
from batchcrew.app.answer import AnswerContext, AnswerRequest, answer
from batchcrew.app.run import RunRequest, run_batch
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import CrewUnusable
from batchcrew.crew import CrewClient
from batchcrew.engine import RunEnvironment, Stop
from batchcrew.ledger import Ledger
from batchcrew.model import exit_codes
from batchcrew.model.answers import Answered, AnswerResult, Finding
from batchcrew.model.attempt import Attempt
from batchcrew.model.waits import Decision, Wait
from batchcrew.server import CrewServer

APPROVE, REJECT = Decision(approve=True), Decision(approve=False, feedback="cheaper")
JOBS = """
crew: {{url: "{url}", token: "{token}"}}
run: {{poll: {{initial: 10ms, max: 20ms}}, human: {{poll: 10ms}}}}
jobs: [{{id: a, inputs: {{budget: "1", interests: x, duration: 1 day, age: "3"}}}}]
"""


@pytest.fixture(autouse=True)
def wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "FIRST_WAIT_SECONDS", 0.001)


@dataclass
class Waiting:
    """One job that waits for human input."""

    folder: Path
    server: CrewServer
    said: list[Answered] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return Source(path=self.folder / "jobs.yaml", environ={}, today=date(2026, 1, 1))

    async def run(self) -> int:
        clock = SystemClock()
        environment = RunEnvironment(stop=Stop(), clock=clock, rng=random.Random(1), observe=lambda event: None)
        result = await run_batch(RunRequest(source=self.source, ledger=self.folder / "l.db"), environment)
        return int(exit_codes.of_run(result))

    async def answer(self, decision: Decision, **request: Any) -> AnswerResult:
        clock = SystemClock()
        self.said = []
        context = AnswerContext(stop=Stop(), clock=clock, report=self.said.append, warn=lambda message: None)
        async with Ledger(self.folder / "l.db", clock=clock) as ledger:
            key = await ledger.batch("jobs")
            assert key is not None
            about = {"job_id": "a", "decision": decision, **request}
            return await answer(AnswerRequest(key, self.source, **about), context, ledger=ledger)

    async def wait(self) -> Wait | None:
        async with Ledger(self.folder / "l.db", clock=SystemClock()) as ledger:
            key = await ledger.batch("jobs")
            assert key is not None
            return await ledger.wait_of_job(key, "a")

    @property
    def findings(self) -> list[Finding]:
        return [said.finding for said in self.said]

    @property
    def taken(self) -> int:
        """The answers that the server has taken."""
        return self.server.stats["human_answers"]


@asynccontextmanager
async def waiting(folder: Path, *resume: Any, more: str = "") -> AsyncIterator[Waiting]:
    script = Faults(resume=resume)
    async with CrewServer(serving(human_rate=1.0), faults=script) as server:
        text = JOBS.format(url=server.url, token=server.token)
        (folder / "jobs.yaml").write_text(text + more, encoding="utf-8")
        made = Waiting(folder, server)
        assert await made.run() == 3
        yield made


@pytest.mark.parametrize("lost", ["drop_after_accept", "502_after_accept"])
async def test_an_approval_that_arrived_is_not_sent_again(tmp_path: Path, lost: str) -> None:
    async with waiting(tmp_path, lost) as made:
        result = await made.answer(APPROVE)
        assert (made.findings, made.taken) == ([Finding.ANSWERED], 1)
        assert exit_codes.of_answers(result) == 0
        assert await made.run() == 0
        assert made.server.stats["kickoffs"] == 1


@pytest.mark.parametrize("lost", ["drop_before_accept", 502])
async def test_an_approval_that_still_waits_is_sent_again(tmp_path: Path, lost: Any) -> None:
    async with waiting(tmp_path, lost) as made:
        await made.answer(APPROVE)
        assert (made.findings, made.taken) == ([Finding.ANSWERED], 1)


async def test_a_rejection_that_still_waits_is_put_on_hold_under_another_wait_id(tmp_path: Path) -> None:
    async with waiting(tmp_path, "drop_before_accept") as made:
        before = await made.wait()
        result = await made.answer(REJECT)
        assert (made.findings, made.taken) == ([Finding.ON_HOLD], 0)
        assert exit_codes.of_answers(result) == 1
        after = await made.wait()
        assert before is not None
        assert after is not None
        assert after.wait_id != before.wait_id
        assert "decide again" in (after.note or "")
        await made.answer(REJECT)
        assert (made.findings, made.taken) == ([Finding.ANSWERED], 1)


async def test_a_rejection_that_arrived_is_recognized_by_the_repeated_output(tmp_path: Path) -> None:
    async with waiting(tmp_path, "drop_after_accept") as made:
        await made.answer(REJECT)
        assert (made.findings, made.taken) == ([Finding.ANSWERED], 1)


async def test_a_decision_of_a_killed_call_is_settled_by_the_next_one(tmp_path: Path) -> None:
    async with waiting(tmp_path) as made:
        wait = await made.wait()
        assert wait is not None
        async with Ledger(tmp_path / "l.db", clock=SystemClock()) as ledger:
            assert await ledger.intend_answer(wait.wait_id, APPROVE)
        await made.answer(APPROVE)
        assert (made.findings, made.taken) == ([Finding.ANSWERED], 1)


async def test_a_refused_answer_leaves_the_job_waiting(tmp_path: Path) -> None:
    async with waiting(tmp_path, 422) as made:
        result = await made.answer(APPROVE)
        assert (made.findings, exit_codes.of_answers(result)) == ([Finding.REFUSED], 1)
        await made.answer(APPROVE)
        assert (made.findings, made.taken) == ([Finding.ANSWERED], 1)


async def test_a_busy_crew_is_called_again_and_a_refused_token_ends_the_call(tmp_path: Path) -> None:
    async with waiting(tmp_path, 401, 408, 408, 408) as made:
        with pytest.raises(CrewUnusable):
            await made.answer(APPROVE)
        result = await made.answer(APPROVE)
        assert (made.findings, exit_codes.of_answers(result)) == ([Finding.NOT_SENT], 5)
        await made.answer(APPROVE)
        assert (made.findings, made.taken) == ([Finding.ANSWERED], 1)


async def test_another_task_is_refused_and_what_was_answered_elsewhere_is_skipped(tmp_path: Path) -> None:
    async with waiting(tmp_path) as made:
        await made.answer(APPROVE, task_id="planning_task")
        assert (made.findings, made.taken) == ([Finding.REFUSED], 0)


async def test_resume_repeats_the_webhook_urls_of_the_kickoff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crew forgets them when it is resumed."""
    named: list[Mapping[str, Any]] = []
    kickoff, resume = CrewClient.kickoff, CrewClient.resume

    async def kick_off(self: CrewClient, attempt: Attempt, **fields: Any) -> Any:
        named.append(self.extras(attempt.attempt_id))
        return await kickoff(self, attempt, **fields)

    async def resumed(self: CrewClient, attempt: Attempt, task_id: str, decision: Decision) -> Any:
        named.append(self.extras(attempt.attempt_id))
        return await resume(self, attempt, task_id, decision)

    monkeypatch.setattr(CrewClient, "kickoff", kick_off)
    monkeypatch.setattr(CrewClient, "resume", resumed)
    webhooks = 'webhooks: {listen: "127.0.0.1:0", public_url: "http://127.0.0.1:9/hooks", tasks: true}\n'
    async with waiting(tmp_path, more=webhooks) as made:
        await made.answer(APPROVE)
        assert made.findings == [Finding.ANSWERED]
    assert named[0].keys() == {"crewWebhookUrl", "taskWebhookUrl"}
    assert named[1] == named[0]
