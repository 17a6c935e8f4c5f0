"""The live page in Chromium: followed, searched, answered, retried, by clicks and by keys, on a telephone as well."""

import csv
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli_process import JOB_FILE, Crew, Process, call, start, wait_until
from held_crew import HeldCrew
from plain_crew import PlainCrew

pytestmark = pytest.mark.browser

JOBS = 800
KINDS = {
    "RateLimitError: 429 Too Many Requests; retry in {n} s": 17,
    "Invalid API key provided: sk-{n}": 11,
    "TimeoutError: the tool `search` did not answer within {n} s": 6,
    "<script>alert({n})</script> <img src=x onerror=alert({n})>": 3,
}
FAILURES = sum(KINDS.values())
VIEWS = {
    "batches": "/",
    "batch": "/batch?batch=leads",
    "failures": "/failures?batch=leads",
    "figures": "/figures?batch=leads",
    "jobs": "/jobs?batch=leads&state=failed",
    "job": "/job?batch=leads&job=lead-007",
    "answer": "/job?batch=leads&job=lead-001",
    "inbox": "/inbox?batch=leads",
    "control": "/control?batch=leads",
    "retry": "/retry?batch=leads&state=failed",
    "cancel": "/cancel?batch=leads",
    "not-found": "/batch?batch=nothing",
}


@dataclass
class Served:
    """The live page of a ledger in a process, and the browsers that opened it."""

    chromium: Any
    process: Process
    link: str
    problems: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    @property
    def base(self) -> str:
        return self.link[: self.link.index("/", 8)]

    def open(self, **options: Any) -> Any:
        """Open the printed link in a browser; further browsers are signed in as the first one is."""
        if self.contexts:
            options["storage_state"] = self.contexts[0].storage_state()
        context = self.chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        page = context.new_page()
        page.on("console", lambda message: self.problems.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self._check(request.url))
        page.goto(self.base if self.contexts else self.link)
        page.wait_for_url(f"{self.base}/")
        self.contexts.append(context)
        return page

    def _check(self, url: str) -> None:
        if not url.startswith((self.base, "data:,")):
            self.problems.append(f"request: {url}")


@pytest.fixture
def serve(chromium: Any) -> Iterator[Callable[..., Served]]:
    """Return a function that serves the ledger of a folder; in the end, no page may have reported an error."""
    served: list[Served] = []

    def serving(folder: Path, *options: str) -> Served:
        process = start(folder, "ui", *options)
        served.append(Served(chromium, process, process.stdout.readline().strip()))
        return served[-1]

    yield serving
    for each in served:
        for context in each.contexts:
            context.close()
        assert each.problems == []


@pytest.fixture
def leads(tmp_path: Path) -> Iterator[PlainCrew]:
    """Run a batch of 800 jobs, of which 37 fail for four kinds of reasons."""
    errors: dict[str, str] = {}
    for text, number in KINDS.items():
        for _ in range(number):
            place = len(errors)
            errors[str((place * 21 + 7) % JOBS)] = text.format(n=place + 3)
    assert len(errors) == FAILURES == 37
    with (tmp_path / "leads.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "company", "city", "n"])
        cities = ("Tokyo", "Kyōto", "Berlin")
        writer.writerows([f"lead-{n:03d}", f"Company {n} <b>&co", cities[n % 3], str(n)] for n in range(JOBS))
    with PlainCrew({"inputs": ["company", "city", "n"]}) as crew:
        crew.error_of = lambda inputs: errors.get(inputs["n"])
        (tmp_path / "leads.yaml").write_text(
            f'crew: {{url: "{crew.url}", token: "${{CREW_TOKEN}}", price_per_kickoff: 0.50 USD}}\n'
            "run: {concurrency: 40, poll: {initial: 20ms, max: 100ms}, retry: {attempts: 1}}\n"
            "jobs: [{rows: leads.csv}]\n",
            encoding="utf-8",
        )
        ended = call(tmp_path, "run", "leads.yaml", "-q")
        assert (ended.returncode, len(crew.sent)) == (1, JOBS), ended.stderr
        yield crew


def axe_violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def test_a_newcomer_finds_why_37_of_800_jobs_failed_and_retries_one_kind_by_three_clicks(
    leads: PlainCrew, tmp_path: Path, serve: Callable[..., Served]
) -> None:
    began = time.monotonic()
    page = serve(tmp_path).open(viewport={"width": 360, "height": 740})
    page.get_by_text("37 failed").wait_for()
    page.get_by_role("link", name="leads", exact=True).click()
    page.get_by_role("heading", name="Why jobs failed").wait_for()
    assert page.get_by_role("listitem").filter(has_text="RateLimitError").count() == 1
    page.get_by_role("link", name=re.compile("Retry these 17 jobs")).click()
    page.get_by_text("at least 17", exact=True).wait_for()
    assert page.get_by_text("at least 8.50 USD").is_visible()
    page.get_by_role("button", name="Reset 17 jobs to pending").click()
    page.get_by_role("status").get_by_text("17 jobs are pending again").wait_for()
    assert time.monotonic() - began < 60
    assert len(leads.sent) == JOBS
    leads.error_of = lambda inputs: None
    assert call(tmp_path, "run", "leads.yaml", "-q").returncode == 1  # the other kinds
    assert len(leads.sent) == JOBS + 17


def test_jobs_are_filtered_searched_sorted_and_opened(
    leads: PlainCrew, tmp_path: Path, serve: Callable[..., Served]
) -> None:
    page = serve(tmp_path).open()
    page.get_by_role("link", name="leads", exact=True).click()
    page.get_by_role("link", name=re.compile("^Jobs")).click()
    rows = page.locator("table.jobs tbody tr")
    assert rows.count() == 50
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="37 jobs, failed").wait_for()
    assert rows.count() == 37
    page.get_by_label("Search").fill("script")
    page.get_by_label("Search").press("Enter")
    page.get_by_role("heading", name=re.compile("^3 jobs")).wait_for()
    assert rows.count() == 3
    page.get_by_role("link", name="All jobs").click()
    page.get_by_role("link", name="Job", exact=True).click()
    page.wait_for_url(re.compile("sort=job"))
    page.get_by_role("link", name="Job", exact=True).click()
    page.wait_for_url(re.compile("down=1"))
    assert rows.first.get_by_role("link").inner_text() == "lead-799"
    rows.first.get_by_role("link").click()
    page.get_by_role("heading", name="Job lead-799").wait_for()
    assert "Company 799 <b>&co" in page.get_by_role("main").inner_text()


def test_a_running_batch_is_followed_within_a_second(
    held: HeldCrew, folder: Path, serve: Callable[..., Served]
) -> None:
    run = start(folder, "run", "jobs.yaml")
    held.wait_for_kickoffs(6, run)
    page = serve(folder).open()
    page.get_by_role("link", name="jobs", exact=True).click()
    page.locator("#counts").get_by_text("in progress").wait_for()
    page.get_by_role("link", name="Control").click()
    page.get_by_text("live", exact=True).wait_for()
    took = []
    for minutes in range(10, 15):
        assert call(folder, "set", "jobs", f"timeout={minutes}m").returncode == 0
        committed = time.monotonic()
        page.locator("#in-force").get_by_text(f"timeout={minutes}m").wait_for()
        took.append(time.monotonic() - committed)
    held.release()
    assert run.wait() == 0
    page.locator("#words").get_by_text("finished").wait_for()
    assert min(took) < 1, took  # the others may have waited for a busy machine


def test_pause_and_unpause_reach_the_run(held: HeldCrew, folder: Path, serve: Callable[..., Served]) -> None:
    run = start(folder, "run", "jobs.yaml")
    held.wait_for_kickoffs(6, run)
    page = serve(folder).open()
    page.get_by_role("link", name="jobs", exact=True).click()
    page.get_by_role("link", name="Control").click()
    page.get_by_label("Reason").fill("lunch")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("status").get_by_text("no new jobs start").wait_for()
    page.get_by_role("button", name="Unpause").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Stop the run").click()
    page.get_by_text("The run ends").wait_for()
    assert run.wait() == 3


def test_waiting_jobs_are_rejected_with_feedback_and_approved(
    tmp_path: Path,
    serve: Callable[..., Served],
    picture: Callable[[Any, str], None],
) -> None:
    crew = Crew(tmp_path, "--human-rate", "1", "--execution-time", "20ms")
    (tmp_path / "trips.csv").write_text("id,budget,interests,duration,age\ntrip-0,1,x,1 day,3\ntrip-1,1,y,1 day,3\n")
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url).replace("run: {", "run: {human: {poll: 50ms}, "))
    assert call(tmp_path, "run", "jobs.yaml", "-q").returncode == 3
    page = serve(tmp_path).open(viewport={"width": 360, "height": 740})
    page.get_by_role("link", name="jobs", exact=True).click()
    page.get_by_role("link", name="Inbox 2").click()
    assert axe_violations(page) == []
    picture(page, "live-page-inbox-waiting-light-360")
    first = page.get_by_role("region", name="trip-0")
    first.get_by_role("button", name="Reject").click()
    page.get_by_text("a rejection requires feedback").wait_for()
    first.get_by_label("What to improve").fill("cheaper, please")
    first.get_by_role("button", name="Reject").click()
    page.get_by_text("Rejected: job trip-0").wait_for()
    page.get_by_role("region", name="trip-1").get_by_role("button", name="Approve").click()
    page.get_by_text("Approved: job trip-1").wait_for()
    assert crew.stats()["human_answers"] == 2
    run = start(tmp_path, "run", "jobs.yaml", "-q", "--wait")
    again = page.get_by_role("region", name="trip-0")
    again.get_by_text("cheaper, please").wait_for()
    again.get_by_role("button", name="Approve").click()
    page.get_by_text("Approved: job trip-0").wait_for()
    wait_until(lambda: run.poll() is not None, run)
    assert (run.returncode, crew.stats()["kickoffs"]) == (0, 2)


def test_typed_text_survives_a_live_update(tmp_path: Path, serve: Callable[..., Served]) -> None:
    crew = Crew(tmp_path, "--human-rate", "1", "--execution-time", "20ms")
    (tmp_path / "trips.csv").write_text("id,budget,interests,duration,age\ntrip-0,1,x,1 day,3\ntrip-1,1,y,1 day,3\n")
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url))
    assert call(tmp_path, "run", "jobs.yaml", "-q").returncode == 3
    page = serve(tmp_path).open()
    page.goto(f"{page.url}inbox?batch=jobs")
    page.get_by_role("region", name="trip-0").get_by_label("What to improve").fill("half a sent")
    assert call(tmp_path, "answer", "jobs", "trip-1", "--approve").returncode == 0
    page.get_by_role("link", name="Inbox 1").wait_for()
    assert page.get_by_role("region", name="trip-0").get_by_label("What to improve").input_value() == "half a sent"


def test_every_view_is_accessible_and_fits_a_telephone(
    leads: PlainCrew,
    tmp_path: Path,
    serve: Callable[..., Served],
    picture: Callable[[Any, str], None],
) -> None:
    served = serve(tmp_path)
    found: dict[str, list[str]] = {}
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            page = served.open(color_scheme=scheme, viewport={"width": width, "height": 900})
            for name, path in VIEWS.items():
                page.goto(served.base + path)
                wrong = axe_violations(page)
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    wrong.append("wider than the window")
                if wrong:
                    found[f"{name} {scheme} {width}"] = wrong
                picture(page, f"live-page-{name}-{scheme}-{width}")
    # Chromium reports each answer that is not 200
    served.problems = [each for each in served.problems if "status of 404" not in each]
    assert found == {}


def test_the_page_works_by_keys_alone(leads: PlainCrew, tmp_path: Path, serve: Callable[..., Served]) -> None:
    page = serve(tmp_path).open()
    page.get_by_role("link", name="leads", exact=True).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "leads"
    page.keyboard.press("Enter")
    page.get_by_role("link", name=re.compile("Retry these 17")).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Reset 17 jobs to pending").focus()
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("17 jobs are pending again").wait_for()
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    page.get_by_text("17 jobs have their former state again").wait_for()


def test_the_page_says_that_its_server_or_its_ledger_is_gone(tmp_path: Path, serve: Callable[..., Served]) -> None:
    crew = Crew(tmp_path, "--execution-time", "10ms")
    (tmp_path / "trips.csv").write_text("id,budget,interests,duration,age\ntrip-0,1,x,1 day,3\n")
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url))
    assert call(tmp_path, "run", "jobs.yaml", "-q").returncode == 0
    served = serve(tmp_path)
    page = served.open()
    page.get_by_role("link", name="jobs", exact=True).click()
    page.get_by_text("live", exact=True).wait_for()
    ledger = tmp_path / "results" / "batchcrew.db"
    ledger.rename(tmp_path / "moved.db")
    page.get_by_role("status").get_by_text("ledger not found").wait_for()
    (tmp_path / "moved.db").rename(ledger)
    page.get_by_text("ledger not found").wait_for(state="detached")
    served.process.kill()
    page.get_by_role("status").get_by_text("is lost").wait_for()
    served.problems.clear()  # Chromium reports the answers that were not 200, and the closed connection
