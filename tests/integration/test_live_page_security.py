"""Who may see the live page, which requests may change anything, and that foreign text does nothing."""

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from live_page_bench import browser, counts_of, live, planned, status_of

from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import UsageError
from batchcrew.web import server as server_module
from batchcrew.web.security import is_loopback
from batchcrew.web.server import LivePage
from batchcrew.web.sessions import MOST_SESSIONS, Sessions

HOSTILE = "<script>alert(1)</script> \"onload=x ' \u202eevil\u2066"
NOW = "2026-11-28T08:00:00.000Z"
PATHS = ("/", "/batch?batch=jobs", "/failures?batch=jobs", "/jobs?batch=jobs", "/job?batch=jobs&job=a",
         "/inbox?batch=jobs", "/control?batch=jobs", "/retry?batch=jobs", "/cancel?batch=jobs", "/events")  # fmt: skip


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[LivePage]:
    async with LivePage(await planned(tmp_path / "l.db"), clock=SystemClock(), environ={}) as opened:
        yield opened


async def test_a_link_signs_in_one_browser_once(page: LivePage) -> None:
    async with browser(page, signed_in=False) as first, browser(page, signed_in=False) as second:
        link = page.new_url().removeprefix(first.base)
        opened = await first.get(link)
        cookie = opened.headers["Set-Cookie"]
        assert opened.status == 200
        assert [word for word in ("HttpOnly", "SameSite=Strict", "Path=/") if word not in cookie] == []
        assert link.rpartition("=")[2] not in cookie
        assert (await second.get(link)).status == 403
        assert (await second.get("/")).status == 403
        assert (await first.get(link)).status == 200  # reloaded by the browser that is signed in
        assert (await first.get("/")).status == 200


async def test_a_signed_in_browser_gets_a_link_for_another_one(page: LivePage) -> None:
    async with browser(page) as first, browser(page, signed_in=False) as second:
        shown = await first.submit("/new-link")
        link = next(word for word in shown.words.split() if word.startswith(f"{first.base}/sign-in"))
        assert (await second.get(link.removeprefix(second.base))).status == 200
        assert (await second.get("/")).status == 200


async def test_nothing_is_shown_without_a_cookie(page: LivePage) -> None:
    async with browser(page, signed_in=False) as stranger:
        for path in PATHS:
            for headers in ({}, {"Cookie": f"batchcrew_{page.site.port}=guessed"}):
                answer = await stranger.get(path, **headers)
                assert answer.status == 403
                assert "jobs" not in answer.words


async def test_another_host_is_refused_also_with_the_cookie(page: LivePage) -> None:
    async with browser(page) as signed_in:
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", "0.0.0.0:1"):
            assert (await signed_in.get("/", Host=host)).status == 421
            assert not is_loopback(host)
    assert not is_loopback("")


async def test_a_forwarded_port_is_served(page: LivePage) -> None:
    async with browser(page) as signed_in:
        for host in ("localhost:9000", "127.0.0.1:1", "[::1]:80"):
            assert (await signed_in.get("/", Host=host)).status == 200


async def test_a_form_of_another_page_changes_nothing(page: LivePage) -> None:
    ledger, path = page.site.ledger, "/pause?batch=jobs"
    async with browser(page) as signed_in, browser(page) as other:
        right = {"form_token": (await signed_in.get("/")).form_token}
        refused: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
            (right, {}),
            (right, {"Origin": "http://evil.example"}),
            (right, {"Origin": "null"}),
            (right, {"Origin": "http://localhost:1"}),
            ({}, {"Origin": signed_in.base}),
            ({"form_token": "x"}, {"Origin": signed_in.base}),
            ({"form_token": (await other.get("/")).form_token}, {"Origin": signed_in.base}),
        )
        for fields, headers in refused:
            assert (await signed_in.post(path, fields, **headers)).status == 403
        assert (await status_of(ledger)).control.pause is None
        assert (await signed_in.post(path, right, Origin=signed_in.base)).status == 303
        assert (await status_of(ledger)).control.pause is not None


async def test_every_answer_has_the_headers(page: LivePage) -> None:
    async with browser(page) as signed_in, browser(page, signed_in=False) as stranger:
        answers = [
            await signed_in.get("/"),
            await signed_in.get("/nothing"),
            await signed_in.get("/job?batch=jobs&job=nothing"),
            await signed_in.get("/static/page.js"),
            await stranger.get("/"),
            await stranger.get("/", Host="evil.example"),
            await signed_in.post("/", {}),
        ]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "style-src 'self'", "script-src 'self'", "frame-ancestors 'none'"} <= {*policy}
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_foreign_text_is_escaped_everywhere(tmp_path: Path) -> None:
    async with live(await planned(tmp_path / "l.db", HOSTILE, reason=HOSTILE)) as page:
        failed = await page.get(f"/jobs?batch=jobs&q={HOSTILE[:8]}")
        assert "<script>alert" not in failed.text
        assert "&lt;script&gt;alert(1)" in failed.text
        job = await page.get(f"/job?batch=jobs&job={HOSTILE}")
        assert job.status == 200
        for path in (
            *PATHS[:-1],
            f"/job?batch=jobs&job={HOSTILE}",
            f"/batch?batch={HOSTILE}",
            f"/jobs?batch=jobs&q={HOSTILE}",
        ):
            shown = await page.get(path)
            assert "<script>alert" not in shown.text
            assert "\u202e" not in shown.text
            assert " style=" not in shown.text  # the policy would refuse it
            assert shown.text.count("<script") <= 1
            assert "onload=x" not in shown.text.replace("&#34;onload=x", "")


async def test_an_output_of_5_mb_with_scripts_and_control_characters_does_nothing(tmp_path: Path) -> None:
    output = (
        "# Hi\n<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) ![y](http://evil.example/y)"
        "\x00\x1b[31m\u202e\n" + "| a " * 1_250_000
    )
    ledger = await planned(tmp_path / "l.db", "a")
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(
            "INSERT INTO runs (id, batch_id, started_at, pid, host, version) VALUES ('r', 1, ?, 1, '', '')", (NOW,)
        )
        connection.execute(
            "INSERT INTO attempts (id, job, number, run_id, state, kickoff_id, intended_at, output)"
            " SELECT 'r-1', id, 1, 'r', 'succeeded', 'k', ?, ? FROM jobs",
            (NOW, output),
        )
        connection.execute("UPDATE jobs SET state = 'succeeded', attempts = 1")
    async with live(ledger) as page:
        for path in ("/job?batch=jobs&job=a", "/jobs?batch=jobs", "/batch?batch=jobs", "/figures?batch=jobs"):
            shown = await page.get(path)
            assert shown.status == 200
            assert len(shown.text) < 1_000_000
            found = [
                bad
                for bad in ("<script>alert", "<img", 'href="javascript', "\x00", "\x1b", "\u202e")
                if bad in shown.text
            ]
            assert found == []
        saved = await page.get("/output?batch=jobs&job=a&attempt=1")
        assert saved.text == output
        assert saved.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_body_that_is_too_large_is_refused_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_BODY", 20_000)
    async with live(await planned(tmp_path / "l.db")) as page:
        fields = {"form_token": (await page.get("/")).form_token, "reason": "x" * 30_000}
        answer = await page.post("/cancel?batch=jobs", fields, Origin=page.base)
        assert answer.status == 413
        assert "too large" in answer.words
        assert (await counts_of(page.page.site.ledger)).pending == 3


async def test_only_loopback_listens_and_a_port_in_use_is_named(page: LivePage) -> None:
    assert page.new_url().startswith(f"http://127.0.0.1:{page.site.port}/")
    other = socket.gethostbyname(socket.gethostname())
    if not other.startswith("127."):
        with pytest.raises(OSError, match="refused"):
            await asyncio.open_connection(other, page.site.port)
    with pytest.raises(UsageError, match=str(page.site.port)):
        async with LivePage(page.site.ledger, clock=SystemClock(), environ={}, port=page.site.port):
            pass


def test_sessions_are_bounded_and_tokens_work_once() -> None:
    sessions = Sessions()
    first = sessions.sign_in(sessions.new_token())
    assert sessions.of(first) is not None
    token = sessions.new_token()
    assert sessions.sign_in(token) is not None
    assert sessions.sign_in(token) is None
    assert sessions.sign_in("") is None
    for _ in range(MOST_SESSIONS):
        assert sessions.sign_in(sessions.new_token()) is not None
    assert sessions.of(first) is None
    assert sessions.of(None) is None
    assert sessions.of("é") is None


async def test_a_page_that_is_closed_ends_its_event_streams_at_once(tmp_path: Path) -> None:
    page = LivePage(await planned(tmp_path / "l.db"), clock=SystemClock(), environ={})
    async with AsyncExitStack() as stack:
        async with page:
            signed_in = await stack.enter_async_context(browser(page))
            stream = await stack.enter_async_context(signed_in.open("/events?batch=jobs"))
            assert (await stream.content.readline()).startswith(b"retry:")
        assert await stream.content.read() == b"\nevent: changed\ndata: 1\n\n"
