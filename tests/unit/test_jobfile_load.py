"""Crews, options, batch names, warnings and the digest of a job file."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mistakes import Expected, fits

from batchcrew.base.errors import JobFileError
from batchcrew.config.crews import DemoCrew, RemoteCrew, ServedCrew
from batchcrew.jobfile import JobFile, JobFileOptions, Problems, load_jobfile

TODAY = date(2026, 1, 31)
JOBS = "jobs: [{id: a, inputs: {x: 1}}]\n"


def load(path: Path, text: str | None = None, environ: dict[str, str] | None = None, **options: Any) -> JobFile:
    if text is not None:
        path.write_text(text)
    today = options.pop("today", TODAY)
    return load_jobfile(path, environ=environ or {}, today=today, options=JobFileOptions(**options))


def ids(jobfile: JobFile) -> list[str]:
    problems = Problems()
    found = [job.job_id for job in jobfile.jobs(problems)]
    problems.raise_if_any()
    return found


def token(jobfile: JobFile, crew: str = "default") -> str | None:
    secret = jobfile.crews[crew].token
    return None if secret is None else secret.get_secret_value()


def test_how_a_crew_at_a_url_is_called(tmp_path: Path) -> None:
    text = """
crew:
  url: https://crew.example.com
  token: t
  headers: {X-Tenant: 0042, X-Zone: "${ZONE}"}
  auth: {header: API-Key, scheme: ""}
  body: flat
  meta: false
  cookies: true
  sync: true
"""
    crew = load(tmp_path / "x.yaml", text + JOBS, {"ZONE": "north"}).crews["default"]
    assert isinstance(crew, RemoteCrew)
    headers = {name: value.get_secret_value() for name, value in crew.headers.items()}
    assert headers == {"X-Tenant": "0042", "X-Zone": "north"}
    assert "0042" not in repr(crew)
    assert (crew.auth.header, crew.auth.scheme) == ("API-Key", "")
    assert (crew.body, crew.meta, crew.cookies, crew.sync) == ("flat", False, True, True)
    # a rehearsal with the demo crew needs no changes in the file
    assert load(tmp_path / "x.yaml", text + JOBS, crew_url="embedded").crews["default"] == DemoCrew()
    moved = load(tmp_path / "x.yaml", text + JOBS, {"ZONE": "north"}, crew_url="https://b.example").crews["default"]
    assert moved == crew.model_copy(update={"url": "https://b.example"})


def test_a_flat_body_is_part_of_what_determines_the_jobs(tmp_path: Path) -> None:
    """Otherwise the inputs of a batch that was read with nested bodies would not be checked for reserved names."""
    nested = "crew: {url: https://x.example}\n" + JOBS
    flat = "crew: {url: https://x.example, body: flat}\n" + JOBS
    same = "crew: {url: https://x.example, body: nested, cookies: true}\n" + JOBS
    first, second, third = (load(tmp_path / "x.yaml", text).digest() for text in (nested, flat, same))
    assert first == third != second


@pytest.mark.parametrize(
    ("written", "batch"),
    [("travel-{date}", "travel-2026-01-31"), ("2024.10", "2024.10"), ("' x '", "x"), ("", "x")],
)
def test_batch(tmp_path: Path, written: str, batch: str) -> None:
    assert load(tmp_path / "x.yaml", f"batch: {written}\ncrew: {{url: embedded}}\n{JOBS}").batch == batch


def test_crew_and_its_settings(tmp_path: Path) -> None:
    text = """
crew:
  url: https://crew.example.com/base/
  token: ${TOKEN}
  concurrency: 3
  rate: 60/m
"""
    jobfile = load(tmp_path / "x.yaml", text + JOBS, {"TOKEN": " s3cret\n"})
    crew = jobfile.crews["default"]
    assert (crew.location, crew.concurrency, str(crew.rate)) == ("https://crew.example.com/base/", 3, "60/m")
    assert token(jobfile) == "s3cret"
    assert jobfile.warnings == ()
    assert "s3cret" not in repr(jobfile)


def test_several_crews(tmp_path: Path) -> None:
    text = """
crews: {default: {url: embedded}, other: {url: embedded, token: "${T:-t}"}}
jobs:
  - {id: a}
  - {id: b, crew: other}
  - {grid: {n: [1]}, crew: other}
"""
    jobfile = load(tmp_path / "x.yaml", text)
    assert list(jobfile.crews) == ["default", "other"]
    assert [job.crew for job in jobfile.jobs(Problems())] == ["default", "other", "other"]


def test_the_only_one_of_crews_needs_no_choice(tmp_path: Path) -> None:
    jobfile = load(tmp_path / "x.yaml", "crews: {research: {url: embedded}}\n" + JOBS)
    assert [job.crew for job in jobfile.jobs(Problems())] == ["research"]


def test_options_win_over_the_crew_of_the_file(tmp_path: Path) -> None:
    text = "crew:\n  url: ${NOWHERE}\n  token: ${NOTHING}\n" + JOBS
    jobfile = load(tmp_path / "x.yaml", text, crew_url="https://a.example", crew_token="from-file")
    assert (jobfile.crews["default"].location, token(jobfile)) == ("https://a.example", "from-file")
    assert jobfile.warnings == ()


def test_an_embedded_crew_needs_no_token_of_another(tmp_path: Path) -> None:
    text = "crew:\n  url: https://a.example\n  token: ${NOTHING}\n" + JOBS
    jobfile = load(tmp_path / "x.yaml", text, crew_url="embedded")
    assert isinstance(jobfile.crews["default"], DemoCrew)
    assert token(jobfile) is None


def test_an_option_for_a_file_without_crew(tmp_path: Path) -> None:
    jobfile = load(tmp_path / "x.yaml", JOBS, crew_url="embedded")
    assert isinstance(jobfile.crews["default"], DemoCrew)


def test_an_option_for_several_crews_is_a_mistake(tmp_path: Path) -> None:
    text = "crews: {a: {url: embedded}, b: {url: embedded}}\njobs: [{id: x, crew: a}]\n"
    with pytest.raises(JobFileError, match=r"x\.yaml:1:1: --crew-url is for a job file with one crew; this one has"):
        load(tmp_path / "x.yaml", text, crew_url="embedded")


@pytest.mark.parametrize(
    ("crew", "warning"),
    [
        (
            "{url: 'http://10.0.0.1'}",
            "x.yaml:1:13: http://10.0.0.1 is not encrypted: the token and the inputs can be read on the way; "
            "use https://",
        ),
        ("{url: embedded, token: abc}", "x.yaml:1:30: the token is written in the file; use ${CREW_TOKEN} instead"),
        ("{url: embedded, token: 123}", ("x.yaml:1:30", "token", "${CREW_TOKEN}")),
        ("{url: 'http://127.0.0.1:8000'}", None),
        ("{url: 'http://localhost:8000'}", None),
        ("{url: 'http://[::1]:8000'}", None),
        ("{url: 'https://x.example'}", None),
        ("{url: 'https://x.example', headers: {X-Tenant: acme}}", None),
        ("{url: 'https://x.example', headers: {API-Key: s3cret}}", ("x.yaml:1:53", "API-Key")),
        ("{url: 'https://x.example', meta: false}", ("x.yaml:1:34", "`crew.meta: false`", "meta")),
    ],
)
def test_warnings(tmp_path: Path, crew: str, warning: Expected | None) -> None:
    jobfile = load(tmp_path / "x.yaml", f"crew: {crew}\n{JOBS}")
    expected = [] if warning is None else [warning]
    for text, message in zip(jobfile.warnings, expected, strict=True):
        assert fits(text.replace(f"{tmp_path}/", ""), message)


BARE = "id,a\n1,2\n"


def test_bare_rows_file(tmp_path: Path) -> None:
    environ = {"CREW_URL": "https://a.example", "CREW_TOKEN": "t"}
    jobfile = load(tmp_path / "leads.csv", BARE, environ)
    assert (jobfile.batch, jobfile.crews["default"].location, token(jobfile)) == ("leads", "https://a.example", "t")
    assert ids(jobfile) == ["1"]


def test_bare_rows_file_with_dotenv_and_options(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CREW_URL=https://a.example\nCREW_TOKEN=t\n")
    assert token(load(tmp_path / "leads.csv", BARE)) == "t"
    jobfile = load(tmp_path / "leads.csv", crew_url="https://b.example", crew_token="u")
    assert (jobfile.crews["default"].location, token(jobfile)) == ("https://b.example", "u")


def test_bare_rows_file_on_this_machine_may_do_without_a_token(tmp_path: Path) -> None:
    assert token(load(tmp_path / "leads.csv", BARE, crew_url="http://127.0.0.1:1")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "CREW_URL: missing crew URL; set CREW_URL to the crew's URL (or to `embedded`), or use --crew-url"),
        (
            {"crew_url": "https://a.example"},
            ("CREW_TOKEN", "`export CREW_TOKEN=…`", ".env file next to the rows file"),
        ),
        (
            {"crew_url": "a.example"},
            ("--crew-url", "'a.example'", "https://a.example"),
        ),
        (
            {"crew_url": "https://a.example", "crew_token": "a b"},
            ("the crew's token", "a blank"),
        ),
    ],
)
def test_bare_rows_file_without_a_crew(tmp_path: Path, options: dict[str, str], message: Expected) -> None:
    with pytest.raises(JobFileError) as caught:
        load(tmp_path / "leads.csv", BARE, None, **options)
    assert fits(str(caught.value), message)


def test_rows_may_lie_outside_when_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(BARE)
    (tmp_path / "jobs").mkdir()
    text = "crew: {url: embedded}\njobs: [{rows: ../leads.csv}]\n"
    assert ids(load(tmp_path / "jobs" / "x.yaml", text, allow_outside=True)) == ["1"]


def test_a_link_that_leads_outside_is_outside(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(BARE)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "link.csv").symlink_to(tmp_path / "leads.csv")
    with pytest.raises(JobFileError, match="--allow-outside"):
        load(tmp_path / "jobs" / "x.yaml", "crew: {url: embedded}\njobs: [{rows: link.csv}]\n")


def test_encoding_and_delimiter_of_options_are_for_entries_that_name_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id#x\né#1\n".encode("cp1252"))
    (tmp_path / "b.csv").write_text("id,x\nü,1\n")
    text = "crew: {url: embedded}\njobs: [{rows: a.csv}, {rows: b.csv, encoding: utf-8, delimiter: ','}]\n"
    assert ids(load(tmp_path / "x.yaml", text, encoding="cp1252", delimiter="#")) == ["é", "ü"]


def test_encoding_and_delimiter_of_an_entry(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id\tx,y\né\t1\n".encode("utf-16"))
    text = "crew: {url: embedded}\njobs: [{rows: a.csv, encoding: utf-16, delimiter: tab}]\n"
    assert ids(load(tmp_path / "x.yaml", text)) == ["é"]


HEAD = "crew: {url: embedded}\n"


class TestDigest:
    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        (tmp_path / "r.csv").write_text(BARE)
        return HEAD + "jobs: [{rows: r.csv, meta: {m: 1}}]\n"

    def test_is_the_same_for_the_same_file(self, tmp_path: Path, base: str) -> None:
        digest = load(tmp_path / "x.yaml", base).digest()
        assert digest == load(tmp_path / "x.yaml", base).digest()
        assert len(digest) == 64

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace("m: 1", "m: 2"),
            lambda text: text + "defaults: {inputs: {a: 1}}\n",
            lambda text: text.replace("crew: {url: embedded}", "crews: {other: {url: embedded}}"),
            lambda text: text.replace("{m: 1}", "{m: '${V}'}"),
        ],
    )
    def test_changes_with_what_decides_the_jobs(self, tmp_path: Path, base: str, change: Any) -> None:
        digest = load(tmp_path / "x.yaml", base).digest()
        assert load(tmp_path / "x.yaml", change(base), {"V": "1"}).digest() != digest

    def test_changes_with_a_variables_value(self, tmp_path: Path, base: str) -> None:
        text = base.replace("{m: 1}", "{m: '${V}'}")
        assert (
            load(tmp_path / "x.yaml", text, {"V": "1"}).digest() != load(tmp_path / "x.yaml", text, {"V": "2"}).digest()
        )

    def test_changes_with_a_rows_file(self, tmp_path: Path, base: str) -> None:
        jobfile = load(tmp_path / "x.yaml", base)
        digest = jobfile.digest()
        (tmp_path / "r.csv").write_text(BARE + "3,4\n")
        assert jobfile.digest() != digest

    @pytest.mark.parametrize("options", [{"encoding": "cp1252"}, {"delimiter": ";"}])
    def test_changes_with_the_options(self, tmp_path: Path, base: str, options: dict[str, Any]) -> None:
        assert load(tmp_path / "x.yaml", base, **options).digest() != load(tmp_path / "x.yaml").digest()

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "# a comment\nbatch: other\nrun: {concurrency: 3}\n" + text,
            lambda text: text.replace("url: embedded", "url: 'https://x.example', token: '${V}'"),
        ],
    )
    def test_does_not_change_with_the_rest(self, tmp_path: Path, base: str, change: Any) -> None:
        digest = load(tmp_path / "x.yaml", base).digest()
        assert load(tmp_path / "x.yaml", change(base), {"V": "1"}).digest() == digest

    def test_changes_with_the_day_only_where_a_template_names_it(self, tmp_path: Path, base: str) -> None:
        tomorrow = date(2026, 2, 1)
        path = tmp_path / "x.yaml"
        assert load(path, base).digest() == load(path, base, today=tomorrow).digest()
        dated = base.replace("m: 1", "m: '{{ date }}'")
        assert load(path, dated).digest() != load(path, dated, today=tomorrow).digest()

    def test_a_rows_file_that_is_gone_is_a_problem(self, tmp_path: Path, base: str) -> None:
        jobfile = load(tmp_path / "x.yaml", base)
        (tmp_path / "r.csv").unlink()
        for read in (jobfile.digest, lambda: ids(jobfile)):
            with pytest.raises(JobFileError, match=r"r\.csv: .*No such file or directory"):
                read()


def test_a_crew_that_is_served(tmp_path: Path) -> None:
    crew = load(tmp_path / "x.yaml", 'crew: {serve: "my_project.crew:TravelCrew"}\n' + JOBS).crews["default"]
    assert isinstance(crew, ServedCrew)
    assert (crew.serve.target, crew.serve.workers, crew.serve.threads) == ("my_project.crew:TravelCrew", 2, 4)
    assert crew.location == "serve:my_project.crew:TravelCrew"
    text = "crew: {serve: {target: ., workers: 3, threads: 1, timeout: 5m, state: s.db}, concurrency: 3}\n"
    crew = load(tmp_path / "x.yaml", text + JOBS).crews["default"]
    assert isinstance(crew, ServedCrew)
    assert (crew.serve.target, crew.serve.timeout, crew.serve.state) == (".", 300.0, "s.db")


def test_inputs_of_a_crew_that_is_served(tmp_path: Path) -> None:
    text = "crew: {serve: {target: ., inputs: {tone: formal, days: 3, current_year: }}}\n"
    crew = load(tmp_path / "x.yaml", text + JOBS).crews["default"]
    assert isinstance(crew, ServedCrew)
    assert crew.serve.inputs == {"tone": "formal", "days": 3, "current_year": None}


def test_an_input_that_no_crew_can_have_is_a_mistake_in_its_line(tmp_path: Path) -> None:
    text = "crew:\n  serve:\n    target: .\n    inputs:\n      tone: formal\n      bad name: 3\n"
    with pytest.raises(JobFileError, match=r"x\.yaml:6:\d+: .*serve\.inputs.*'bad name'"):
        load(tmp_path / "x.yaml", text + JOBS)


def test_an_option_wins_over_a_crew_that_is_served(tmp_path: Path) -> None:
    crew = load(tmp_path / "x.yaml", "crew: {serve: a:b}\n" + JOBS, crew_url="embedded").crews["default"]
    assert crew == DemoCrew()


@pytest.mark.parametrize(
    ("crew", "kind"),
    [("{url: embedded, serve: }", DemoCrew), ("{url: , serve: a:b}", ServedCrew), ("{url: ' embedded '}", DemoCrew)],
)
def test_a_key_without_a_value_does_not_decide_the_type_of_a_crew(tmp_path: Path, crew: str, kind: type) -> None:
    assert type(load(tmp_path / "x.yaml", f"crew: {crew}\n" + JOBS).crews["default"]) is kind
