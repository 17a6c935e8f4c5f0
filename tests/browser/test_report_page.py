"""The HTML report in Chromium: it works without a network, by keyboard, on paper, and whatever the crews answered."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_ledger import FAILED, HOSTILE, JOBS, add_pending, apart, write_ledger
from report_samples import sample_report, write_page

from batchcrew.model.comparison import ChangedRow, Comparison, RowsCompared, StateChange
from batchcrew.reports.html.comparison_page import comparison_html

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
ROWS = "#jobs-body button.open"
SIZES = {1280: 900, 360: 740}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_ledger(folder / "ledger.db")
    write_page(folder / "ledger.db", folder / "report.html")
    return folder / "report.html"


def drawn(page: Any) -> Any:
    page.wait_for_selector(ROWS)
    return page


def ids(page: Any) -> list[str]:
    return [text[:8] for text in page.locator(ROWS).all_inner_texts()]


def number(page: Any) -> str:
    return str(page.locator("#jobs-number").inner_text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_every_view_is_accessible_and_fits(
    report: Path,
    open_page: Open,
    picture: Callable[..., None],
    scheme: str,
    width: int,
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = drawn(
        open_page(
            report, color_scheme=scheme, viewport={"width": width, "height": SIZES[width]}, reduced_motion="reduce"
        )
    )

    def looks_right(view: str, *, whole: bool = True) -> None:
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, view
        picture(page, f"report-{view}-{scheme}-{width}", whole=whole)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == [], view

    looks_right("closed")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    looks_right("open")
    page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = false")
    page.locator(ROWS).nth(0).click()
    page.locator("#job-content h3").first.wait_for()
    looks_right("job", whole=False)


def test_search_filters_and_sorting_work_together(report: Path, open_page: Open) -> None:
    page = drawn(open_page(report))
    assert number(page) == f"{JOBS} jobs"
    page.select_option("#jobs-state", label=f"failed ({len(FAILED)})")
    assert number(page) == f"{len(FAILED)} of {JOBS} jobs"
    assert ids(page) == [f"job-{place:04d}" for place in FAILED]
    page.get_by_role("button", name="job_id").click()
    page.get_by_role("button", name="job_id").click()
    assert ids(page) == [f"job-{place:04d}" for place in reversed(FAILED)]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("job_id")
    page.fill("#jobs-query", "JOB-0007")
    assert ids(page) == ["job-0007"]
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.getElementById('jobs-number').textContent === '600 jobs'")
    page.fill("#jobs-query", "company 36 ä")  # not ASCII, and in another case
    assert number(page) == f"16 of {JOBS} jobs"
    page.select_option("#jobs-where", label="note")
    assert number(page) == f"0 of {JOBS} jobs"


def test_numbers_are_sorted_as_numbers(report: Path, open_page: Open) -> None:
    page = drawn(open_page(report))
    page.get_by_role("button", name="age", exact=True).click()
    assert ids(page)[:3] == ["job-0599", "job-0598", "job-0597"]
    page.get_by_role("button", name="duration").click()
    cells = (
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent).find(text => /\\d\\u00a0s$/.test(text)))"
    )
    durations = [float(text.split()[0]) for text in page.locator("#jobs-body tr[data-position]").evaluate_all(cells)]
    assert durations == sorted(durations)


def test_a_failure_group_leads_to_its_jobs(report: Path, open_page: Open) -> None:
    page = drawn(open_page(report))
    page.locator(".failure").nth(0).get_by_role("link", name="Show these jobs").click()
    assert number(page) == f"8 of {JOBS} jobs"
    assert set(page.locator("#jobs-body .state").all_inner_texts()) == {"failed"}


def test_a_row_opens_and_the_keyboard_is_enough(report: Path, open_page: Open) -> None:
    page = drawn(open_page(report))
    page.focus("#jobs-scroller")
    page.keyboard.press("ArrowUp")
    for key in ("ArrowDown", "ArrowDown", "PageDown", "Home", "ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("heading", name="Output").wait_for()
    assert dialog.get_by_role("heading").first.inner_text() == "job-0003"
    for heading in ("Output", "Tasks", "Inputs", "Attempts", "Source"):
        assert dialog.get_by_role("heading", name=heading, exact=True).count() == 1, heading
    page.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('job-title').textContent === 'job-0004'")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.textContent") == "job-0004"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == f"job-{JOBS - 1:04d}"
    assert page.get_attribute("#jobs-table", "aria-rowcount") == str(JOBS + 1)
    assert page.locator("#jobs-body tr[data-position]").last.get_attribute("aria-rowindex") == str(JOBS + 1)
    assert page.locator("#jobs-body tr").count() < 60


def test_what_crews_and_files_say_does_nothing(report: Path, open_page: Open) -> None:
    """The fixture fails the test if a dialog opens, the page reports an error, or something is requested."""
    page = drawn(open_page(report))
    opened = 0
    for place in range(len(HOSTILE)):
        page.fill("#jobs-query", f"job-{place:04d}")
        page.locator(ROWS).first.click()
        page.get_by_role("heading", name="Attempts").wait_for()
        page.evaluate("for (const one of document.querySelectorAll('#job details')) one.open = true")
        opened += 1
        content = page.locator("#job-content")
        assert content.locator("script, img, svg, iframe, form, style, [onerror], [onload], [style]").count() == 0
        hrefs = content.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
        assert not [href for href in hrefs if not re.match("https?:|mailto:", href or "https:")]
        page.keyboard.press("Escape")
        assert not {"\u202e", "\x1b", "\0"} & set(page.locator("body").inner_text())
    assert opened == len(HOSTILE)
    assert page.evaluate("Object.prototype.company") is None
    assert page.locator("#jobs-table thead b").count() == 0


def test_an_answer_of_five_megabytes_is_cut(tmp_path: Path, open_page: Open) -> None:
    write_ledger(tmp_path / "ledger.db", huge="<p>[" * 2**20 + "\x00" * 2**20)
    write_page(tmp_path / "ledger.db", tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 2**20
    page = drawn(open_page(tmp_path / "report.html"))
    page.locator(ROWS).first.click()
    assert "more characters" in page.locator("#job-content .markdown").first.inner_text()


def test_jobs_beyond_the_limit_are_left_to_the_export(tmp_path: Path, open_page: Open) -> None:
    write_ledger(tmp_path / "ledger.db")
    write_page(tmp_path / "ledger.db", tmp_path / "report.html", outputs_limit=3000)
    page = drawn(open_page(tmp_path / "report.html"))
    page.fill("#jobs-query", f"job-{JOBS - 1:04d}")
    page.locator(ROWS).click()
    page.get_by_role("heading", name="More").wait_for()
    assert "batchcrew show leads" in page.locator("#job-content code").inner_text()
    assert "job-0599" in page.locator("#job-content code").inner_text()
    page.keyboard.press("Escape")
    assert page.get_by_text(f"of {JOBS} jobs are in this file").count() == 1


def test_paper_has_every_section_and_the_first_jobs(report: Path, open_page: Open) -> None:
    page = drawn(open_page(report))
    page.emulate_media(media="print")
    assert len(page.pdf()) > 10_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#jobs-body tr[data-position]").count() == 100
    assert page.locator("#jobs-printed").inner_text() == "Printed: the first 100 jobs."
    assert not page.locator("#jobs-form").is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#jobs-body tr[data-position]").count() < 60


def test_without_a_script_everything_but_the_table_is_there(report: Path, open_page: Open) -> None:
    page = open_page(report, java_script_enabled=False)
    assert page.get_by_role("heading", name="Failures", exact=True).is_visible()
    assert page.locator("svg.chart").count() > 2
    assert "needs a browser that runs scripts" in page.locator("#jobs-loading").inner_text()


def test_hostile_names_of_batch_and_reasons(tmp_path: Path, open_page: Open) -> None:
    write_ledger(tmp_path / "ledger.db")
    text = " ".join(HOSTILE[:-1])
    group = sample_report().failures[0]
    hostile = replace(
        sample_report(),
        batch=text,
        verdict=text,
        jobfile=text,
        crews=tuple(replace(crew, crew=text) for crew in sample_report().crews),
        durations=tuple(replace(one, crew=text, task=text) for one in sample_report().durations),
        failures=(replace(group, retry=text, group=replace(group.group, reason=text, example_job=text)),),
        runs=tuple(replace(run, stop_detail=text, cost=text) for run in sample_report().runs),
    )
    write_page(tmp_path / "ledger.db", tmp_path / "report.html", hostile)
    page = drawn(open_page(tmp_path / "report.html"))
    assert (
        page.locator("main script:not([type]), main img, main iframe, main style, main form:not(#jobs-form)").count()
        == 0
    )
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_is_accessible_and_fits(
    tmp_path: Path,
    open_page: Open,
    picture: Callable[..., None],
    scheme: str,
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    row = ChangedRow(
        job_id=HOSTILE[0], before="succeeded", after="failed", outputs_differ=False, same_inputs=True, reason=HOSTILE[1]
    )
    change = StateChange(before="succeeded", after="failed", jobs=1, examples=(HOSTILE[3],))
    rows = RowsCompared(matched=800, same_inputs=790, changes=(change,), rows=(row,), more_rows=2)
    compared = Comparison(before=sample_report(), after=replace(sample_report(), batch=HOSTILE[7]), rows=rows)
    apart(lambda: (tmp_path / "comparison.html").write_text(comparison_html(compared), encoding="utf-8"))
    page = open_page(tmp_path / "comparison.html", color_scheme=scheme, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    picture(page, f"comparison-{scheme}-360")
    assert [one["id"] for one in Axe().run(page).response["violations"]] == []


def test_a_table_higher_than_browsers_allow_scrolls_to_its_end(tmp_path: Path, open_page: Open) -> None:
    write_ledger(tmp_path / "ledger.db")
    add_pending(tmp_path / "ledger.db", 250_000)
    write_page(tmp_path / "ledger.db", tmp_path / "report.html")
    page = drawn(open_page(tmp_path / "report.html"))
    page.evaluate("document.getElementById('jobs-scroller').scrollTop = 1e9")
    page.locator(ROWS, has_text="more-250000").wait_for()
    page.focus("#jobs-scroller")
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    visible = int(page.evaluate("Math.floor((document.getElementById('jobs-scroller').clientHeight - 36) / 36)"))
    assert page.evaluate("document.activeElement.textContent") == f"job-{visible - 1:04d}"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "more-250000"
    page.select_option("#jobs-state", label="pending (250,000)")
    assert ids(page)[0] == "more-000"
    assert page.evaluate("document.getElementById('jobs-scroller').scrollHeight") <= 8_000_100
