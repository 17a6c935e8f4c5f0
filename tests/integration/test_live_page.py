"""What the live page shows and does: each action by the use case of its command, and none of them pays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from live_page_bench import Stage, counts_of, live, planned, stage, status_of

from batchcrew.app import answer as answer_module
from batchcrew.ledger import BatchLock
from batchcrew.ledger.schema import CURRENT


@pytest.fixture(autouse=True)
def wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "FIRST_WAIT_SECONDS", 0.001)


@pytest.fixture
async def failed(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, fail_rate=1.0) as made:
        yield made


async def test_a_retry_is_confirmed_with_its_cost_and_only_the_next_run_pays(failed: Stage) -> None:
    async with live(failed) as page:
        listed = await page.get("/failures?batch=jobs")
        status = await status_of(failed.ledger)
        group = status.failures.groups[0].fingerprint
        path = f"/retry?batch=jobs&group={group}&state=failed"
        assert path.replace("&", "&amp;") in listed.text
        shown = await page.get(path)
        assert "at least 3 " in shown.words
        assert "1.50 USD" in shown.words
        assert (await failed.counts()).failed == 3
        done = await page.submit(path, jobs="3")
        assert "batchcrew run" in done.words
        assert ((await failed.counts()).pending, failed.kickoffs) == (3, 3)
        await page.submit("/undo-retry?batch=jobs")
        assert ((await failed.counts()).failed, failed.kickoffs) == (3, 3)
        await page.submit(path, jobs="3")
        assert await failed.run() == 1
        assert failed.kickoffs == 6


async def test_a_retry_of_more_jobs_than_were_confirmed_is_refused(failed: Stage) -> None:
    async with live(failed) as page:
        refused = await page.submit("/retry?batch=jobs&state=failed", jobs="2")
        assert "3 jobs match by now, not 2" in refused.words
        for wrong in ("", "-1", "x", "²"):
            await page.submit("/retry?batch=jobs&state=failed", jobs=wrong)
        await page.submit("/retry?batch=jobs&state=pending", jobs="3")
        await page.submit("/retry?batch=jobs&state=nonsense", jobs="3")
        assert (await failed.counts()).failed == 3
        await page.submit("/retry?batch=jobs&job=a&state=failed", jobs="1")
        counts = await failed.counts()
        assert (counts.failed, counts.pending) == (2, 1)


async def test_a_retry_while_a_run_holds_the_batch_is_refused_with_the_reason(failed: Stage) -> None:
    async with live(failed) as page, BatchLock(failed.ledger, "jobs", since="2026-01-01T00:00:00Z"):
        said = await page.submit("/retry?batch=jobs&state=failed", jobs="3")
        assert "held by another run" in said.words
        assert (await failed.counts()).failed == 3


async def test_decisions_are_sent_once_and_only_about_the_question_that_was_shown(tmp_path: Path) -> None:
    async with stage(tmp_path, "a", human_rate=1.0) as made, live(made) as page:
        (wait,) = (await status_of(made.ledger)).waiting
        assert wait.wait_id in (await page.get("/inbox?batch=jobs")).text
        path, about = "/answer?batch=jobs", {"job": "a", "wait": wait.wait_id}
        refused = await page.submit(path, decision="reject", feedback=" ", **about)
        assert "requires feedback" in refused.words
        assert made.server.stats["human_answers"] == 0
        await page.submit(path, decision="reject", feedback="cheaper", **about)
        assert made.server.stats["human_answers"] == 1
        assert await made.run() == 3
        stale = await page.submit(path, decision="approve", **about)
        assert "another question" in stale.words
        assert made.server.stats["human_answers"] == 1
        (again,) = (await status_of(made.ledger)).waiting
        assert (again.output or "").endswith("cheaper")
        done = await page.submit(path, decision="approve", job="a", wait=again.wait_id)
        assert "Approved: job a." in done.words
        assert await made.run() == 0
        assert (made.kickoffs, made.server.stats["human_answers"]) == (1, 2)


async def test_pause_set_reset_unpause_and_cancel_do_what_the_commands_do(tmp_path: Path) -> None:
    ledger = await planned(tmp_path / "l.db")
    async with live(ledger) as page:
        await page.submit("/pause?batch=jobs", reason="lunch <b>")
        control = (await status_of(ledger)).control
        assert control.pause is not None
        assert control.pause.reason == "lunch <b>"
        assert "lunch &lt;b&gt;" in (await page.get("/control?batch=jobs")).text
        await page.submit("/unpause?batch=jobs")
        await page.submit("/set?batch=jobs", concurrency="5", rate="10/m", timeout="")
        assert (await status_of(ledger)).control.overrides == {"concurrency": "5", "rate": "10/m"}
        wrong = await page.submit("/set?batch=jobs", rate="fast")
        assert "fast" in wrong.words
        await page.submit("/reset?batch=jobs", name="rate")
        control = (await status_of(ledger)).control
        assert (control.pause, control.overrides) == (None, {"concurrency": "5"})
        assert "No run is in progress" in (await page.submit("/stop?batch=jobs")).words
        assert "3 jobs" in (await page.get("/cancel?batch=jobs")).words
        await page.submit("/cancel?batch=jobs", job="a")
        assert (await counts_of(ledger)).cancelled == 1
        await page.submit("/cancel?batch=jobs")
        assert (await counts_of(ledger)).cancelled == 3


async def test_jobs_are_searched_filtered_sorted_and_paged_by_the_ledger(tmp_path: Path) -> None:
    ids = [f"job-{number:03d}" for number in range(120)] + ["100%_\\"]
    async with live(await planned(tmp_path / "l.db", *ids)) as page:

        async def found(query: str) -> list[str]:
            shown = await page.get(f"/jobs?batch=jobs{query}")
            assert shown.status == 200
            return [each for each in ids if f">{each}</a>" in shown.text]

        assert await found("") == ids[:50]
        assert await found("&page=3") == ids[100:]
        assert await found("&sort=job&down=1") == ids[70:120]
        assert await found("&q=JOB-01") == ids[10:20]
        assert await found("&q=kyōto") == ids[:50]
        assert await found("&q=city") == []  # the name of a column
        assert await found("&q=%25_%5C") == ids[-1:]
        assert await found("&q=%22") == []
        assert await found("&state=failed") == []
        assert await found("&state=pending&crew=default&page=2") == ids[50:100]
        assert await found("&crew=other") == []
        assert await found("&group=abc") == []
        for order in ("file", "state", "attempts", "duration", "tokens", "changed", "nonsense"):
            assert len(await found(f"&sort={order}")) == 50
        for number in ("0", "-1", "x", "999999999999", "²"):
            await found(f"&page={number}")


async def test_a_job_shows_its_attempts_and_its_whole_output_is_a_text_file(tmp_path: Path) -> None:
    async with stage(tmp_path, "a") as made, live(made) as page:
        shown = await page.get("/job?batch=jobs&job=a")
        assert "Attempt 1: succeeded" in shown.words
        saved = await page.get("/output?batch=jobs&job=a&attempt=1")
        assert saved.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert saved.headers["Content-Disposition"].startswith("attachment")
        assert saved.text[:40] in shown.text.replace("&#39;", "'")
        assert (await page.get("/output?batch=jobs&job=a&attempt=2")).status == 400


async def test_trouble_with_the_ledger_is_a_page_that_says_what_to_do(tmp_path: Path) -> None:
    ledger = await planned(tmp_path / "l.db")
    async with live(ledger) as page:
        content = ledger.read_bytes()
        ledger.unlink()
        gone = await page.get("/batch?batch=jobs")
        assert (gone.status, "not found" in gone.words) == (404, True)
        assert "not found" in (await page.submit_without_page("/pause?batch=jobs")).words
        assert not ledger.exists()
        older = bytearray(content)
        older[60:64] = (CURRENT - 1).to_bytes(4, "big")  # the user_version of a SQLite file
        ledger.write_bytes(older)
        old = await page.get("/batch?batch=jobs")
        assert (old.status, "batchcrew upgrade" in old.words) == (409, True)
        await page.submit_without_page("/pause?batch=jobs")
        assert ledger.read_bytes() == bytes(older)
        ledger.write_bytes(b"not a database" * 100)
        assert (await page.get("/batch?batch=jobs")).status == 503
        ledger.write_bytes(content)
        assert (await page.get("/batch?batch=jobs")).status == 200


async def test_a_change_of_the_ledger_is_reported_and_nothing_is_looked_at_without_a_browser(tmp_path: Path) -> None:
    ledger = await planned(tmp_path / "l.db")
    async with live(ledger) as page:
        assert page.page.site.changes.looks == 0
        async with page.open("/events?batch=jobs") as stream:
            assert (await stream.content.readline()).startswith(b"retry:")
            await page.submit("/pause?batch=jobs")
            while (await stream.content.readline()) != b"event: changed\n":
                pass
            assert page.page.site.changes.looks >= 1
