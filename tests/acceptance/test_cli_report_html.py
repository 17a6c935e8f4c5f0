"""`batchcrew report -f html`, `compare -f html`, and the HTML that a run writes at its end."""

from pathlib import Path

from cli_process import call
from plain_crew import PlainCrew

HOSTILE = "<script>alert(1)</script>\x1b[31m"
JOB_FILE = """
batch: {batch}
reports: [html, csv]
crew: {{url: "{url}", token: t, price_per_kickoff: 0.50 USD}}
run: {{stop_after_failures: none, poll: {{initial: 1ms, max: 5ms}}, retry: {{attempts: 1}}}}
jobs: [{{rows: leads.csv}}]
"""


def test_reports_as_html(tmp_path: Path) -> None:
    with PlainCrew({"inputs": ["topic"]}) as crew:
        crew.error_of = lambda inputs: HOSTILE if inputs["topic"] == "bad" else None
        for batch, rows in (("leads", "a,cats\nb,bad\n"), ("today", "a,bad\nb,bad\n")):
            (tmp_path / f"{batch}.yaml").write_text(JOB_FILE.format(url=crew.url, batch=batch), encoding="utf-8")
            (tmp_path / "leads.csv").write_text(f"id,topic\n{rows}", encoding="utf-8")
            assert call(tmp_path, "run", f"{batch}.yaml").returncode == 1
    at_the_end = (tmp_path / "results" / "leads.html").read_text(encoding="utf-8")
    assert '<a href="leads-results.csv">' in at_the_end
    said = call(tmp_path, "report", "leads", "-f", "html", "-o", "mine.html", "--outputs-limit", "0")
    assert (said.returncode, said.stdout) == (0, "mine.html\n")
    page = (tmp_path / "mine.html").read_text(encoding="utf-8")
    for text in (at_the_end, page):
        assert HOSTILE[:8] + "alert" not in text
        assert "default-src &#39;none&#39;" in text
        assert "\x1b" not in text
    assert "of 0 of 2 jobs are in this file" in page
    assert call(tmp_path, "report", "leads", "-f", "html", "--outputs-limit", "much").returncode == 2
    compared = call(tmp_path, "compare", "leads", "today", "-f", "html")
    assert compared.returncode == 0, compared.stderr
    assert "succeeded -&gt; failed" in compared.stdout
    assert HOSTILE[:8] + "alert" not in compared.stdout
