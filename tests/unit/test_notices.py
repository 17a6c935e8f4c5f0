"""What notifications say and when they are sent, the metrics, and the mistakes of `notify:` and `on_end:`."""

import asyncio
import random
from datetime import date
from pathlib import Path

import pytest
from manual_clock import ManualClock
from pydantic import SecretStr

import batchcrew.telling.sender as sender
from batchcrew.app.run import RunRequest
from batchcrew.app.telling import Teller
from batchcrew.app.wiring import Source
from batchcrew.base.errors import JobFileError
from batchcrew.engine import RunEnvironment, Stop
from batchcrew.jobfile import JobFile, load_jobfile
from batchcrew.model.events import RunStarted
from batchcrew.model.run import Counts, RunResult, StopReason
from batchcrew.telling.end_command import run_at_end
from batchcrew.telling.metrics import Figures, metrics_text
from batchcrew.telling.notices import Notice, event_of, text_of, title_of


def loaded(folder: Path, telling: str) -> JobFile:
    path = folder / "leads.yaml"
    path.write_text(f"crew: {{url: embedded}}\n{telling}\njobs: [{{inputs: {{a: 1}}}}]\n", encoding="utf-8")
    return load_jobfile(path, environ={"HOOK": "json://127.0.0.1/s3cret"}, today=date(2026, 11, 28))


def result(
    *, stopped: StopReason | None = None, detail: str | None = None, repeated: bool = False, **counts: int
) -> RunResult:
    return RunResult(
        batch="leads", run_id="r", counts=Counts(**counts), stopped=stopped, stop_detail=detail, repeated=repeated
    )


@pytest.mark.parametrize(
    ("ended", "event"),
    [
        (result(succeeded=2), "finished"),
        (result(succeeded=1, failed=1), "failed"),
        (result(waiting=1, stopped=StopReason.WAITING), "waiting"),
        (result(waiting=1, stopped=StopReason.WAITING, repeated=True), None),
        (result(pending=1, stopped=StopReason.BUDGET), "over_budget"),
        (result(pending=1, stopped=StopReason.LIMIT, detail="max_cost of this run is reached"), "over_budget"),
        (result(pending=1, stopped=StopReason.SIGNAL), "stopped"),
        (result(pending=1), None),  # a tick
        (RunResult(batch="leads", run_id=None, counts=Counts(succeeded=1)), None),
    ],
)
def test_the_event_of_a_runs_end(ended: RunResult, event: str | None) -> None:
    assert event_of(ended) == event


def test_names_with_line_breaks_stay_on_their_line() -> None:
    bad = RunResult(batch="a\r\nBcc: x@y \x1b[2J \u202e @here", run_id="r", counts=Counts(succeeded=1))
    notice = Notice(event="finished", result=bad)
    title, text = title_of(notice, None, "2026-11-28"), text_of(notice, None, "2026-11-28")
    for said in (title, text):
        assert not {"\r", "\x1b", "\u202e"} & set(said)
        assert "@here" not in said
    assert "\n" not in title
    assert not any(line.startswith("Bcc") for line in text.splitlines())


@pytest.mark.parametrize(
    ("telling", "said"),
    [
        ("notify: {on: [finished]}", "missing key 'url'"),
        ("notify: {url: '${HOOK}', on: [done]}", "invalid `notify.on[0]`"),
        ("notify: {url: '${HOOK}', text: '{{ a'}", "is not a valid template"),
        ("notify: {url: ['${HOOK}']}", "invalid `notify.url`"),
        ("on_end: run this", "invalid on_end: 'run this' (expected a list"),
        ("on_end: [[a]]", "invalid on_end: a list"),
    ],
)
def test_mistakes_have_their_place_and_no_secret(tmp_path: Path, telling: str, said: str) -> None:
    with pytest.raises(JobFileError) as mistake:
        loaded(tmp_path, telling)
    assert said in str(mistake.value)
    assert "leads.yaml:2:" in str(mistake.value)
    assert "s3cret" not in str(mistake.value)


def test_without_apprise_the_job_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchcrew.jobfile.notify.find_spec", lambda name: None)
    with pytest.raises(JobFileError, match=r"2:1: notify requires apprise: pip install 'batchcrew\[notify\]'"):
        loaded(tmp_path, "notify: ['${HOOK}']")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of apprise
def test_no_text_of_a_job_file_has_the_url(tmp_path: Path) -> None:
    jobfile = loaded(tmp_path, "notify: ['${HOOK}']")
    assert "s3cret" not in repr(jobfile)
    assert sender.unusable_receivers(jobfile.telling.receivers) == []


async def test_a_receiver_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(sender, "SEND_SECONDS", 0.01)

    async def never(call: object) -> None:
        del call
        await waiting

    monkeypatch.setattr(sender, "_in_thread", never)
    assert await sender.send(SecretStr("json://s3cret"), "title", "text") == "no answer within 0.01 s"


async def test_a_run_is_stuck_once_until_something_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sent = ManualClock(), list[str]()

    async def send(url: SecretStr, title: str, text: str, attached: tuple[Path, ...]) -> None:
        del url, title, attached
        sent.append(text)

    monkeypatch.setattr(sender, "send", send)
    environment = RunEnvironment(stop=Stop(), clock=clock, rng=random.Random(1), observe=lambda event: None)
    teller = Teller(
        RunRequest(source=Source(path=tmp_path / "leads.yaml", environ={}, today=date(2026, 11, 28)), ledger=None),
        environment,
    )
    teller._jobfile = await asyncio.to_thread(loaded, tmp_path, "notify: ['${HOOK}']")
    teller._usual = 30.0
    teller.environment.observe(
        RunStarted(batch="leads", run_id="r", jobfile="", ledger="", crews=(), concurrency=1, counts=Counts(pending=1))
    )
    began = clock.monotonic()
    for seconds in (60, 89, 91, 92):
        teller._look(began + seconds)
    await teller._wait_for_sends()
    assert len(sent) == 1
    assert "nothing has ended for 1m 31s, and executions usually end after 30s" in sent[0]


async def test_a_command_that_cannot_start_has_a_reason() -> None:
    assert await run_at_end(["./no-such-program"], b"{}", print) == "it cannot be started: No such file or directory"


def test_labels_of_metrics_are_escaped() -> None:
    text = metrics_text(Figures(batch='a"b\n\\c\0', jobs={"failed": 1}))
    assert 'batchcrew_jobs{batch="a\\"b\\n\\\\c",state="failed"} 1\n' in text
