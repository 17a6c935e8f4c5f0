"""How a job file is read: YAML 1.2, JSON, variables, and the resulting jobs."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mistakes import fits

from batchcrew.base.errors import JobFileError
from batchcrew.config.crews import DEFAULT_CREW
from batchcrew.jobfile import JobFile, JobFileOptions, Problems, load_jobfile
from batchcrew.model.job import Job, Location

CREW = "crew: {url: embedded}\n"
TODAY = date(2026, 1, 31)


def load(tmp_path: Path, text: str, *, name: str = "x.yaml", environ: dict[str, str] | None = None) -> JobFile:
    path = tmp_path / name
    path.write_text(text)
    return load_jobfile(path, environ=environ or {}, today=TODAY)


def jobs_of(jobfile: JobFile) -> list[Job]:
    problems = Problems()
    jobs = list(jobfile.jobs(problems))
    problems.raise_if_any()
    return jobs


def value_of(tmp_path: Path, text: str) -> Any:
    (job,) = jobs_of(load(tmp_path, f"{CREW}jobs:\n  - inputs:\n      a: {text}\n"))
    return job.inputs["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("2026-01-31", "2026-01-31"),
        ("1_000", "1_000"),
        ("0o14", 12),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("012", 12),
        ("+7", 7),
        ("-7", -7),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("~", None),
        ("Null", None),
        ("", None),
        ("=", "="),
        ("'7'", "7"),
        ('"true"', "true"),
        ("!!str 7", "7"),
        ("!!float 7", 7.0),
        ("! 7", "7"),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("[1, {b: no}]", [1, {"b": "no"}]),
        ("|\n        two\n        lines\n", "two\nlines\n"),
    ],
)
def test_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    found = value_of(tmp_path, text)
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_as_written(tmp_path: Path) -> None:
    (job,) = jobs_of(load(tmp_path, CREW + "jobs: [{inputs: {no: 1, 007: 2, true: 3}}]\n"))
    assert job.inputs == {"no": 1, "007": 2, "true": 3}


def test_merge_keys_and_aliases(tmp_path: Path) -> None:
    text = """
crew: {url: embedded}
jobs:
  - &first {id: a, inputs: &base {x: 1, y: 2}}
  - id: b
    inputs:
      <<: [{y: 5, z: 6}, *base]
      x: 3
  - <<: *first
    id: c
"""
    assert [job.inputs for job in jobs_of(load(tmp_path, text))] == [
        {"x": 1, "y": 2},
        {"x": 3, "y": 5, "z": 6},
        {"x": 1, "y": 2},
    ]


def test_an_id_is_its_text(tmp_path: Path) -> None:
    jobs = jobs_of(load(tmp_path, CREW + "jobs: [{id: 007}, {id: 1.10}, {id: true}, {id: ' padded '}]\n"))
    assert [job.job_id for job in jobs] == ["007", "1.10", "true", "padded"]


def test_a_lost_zero_is_warned_about(tmp_path: Path) -> None:
    jobfile = load(tmp_path, CREW + "jobs: [{inputs: {zip: 01234}}]\n")
    assert jobfile.warnings == (
        f"{tmp_path}/x.yaml:2:23: 01234 is read as the number 1234; quote it to keep its zeros",
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+49170123", "49170123"),
        ("3.10", "3.1"),
        ("12e5", "1200000.0"),
        ("0x1F", "31"),
        ("0o17", "15"),
        (".5", "0.5"),
        ("1.", "1.0"),
    ],
)
@pytest.mark.parametrize("part", ["jobs: [{inputs: {v: %s}}]", "jobs: [{grid: {v: [%s]}}]", "jobs: [{meta: {v: %s}}]"])
def test_a_number_whose_text_would_come_back_differently_is_warned_about(
    tmp_path: Path, text: str, number: str, part: str
) -> None:
    (warning,) = load(tmp_path, CREW + part % text + "\n").warnings
    assert warning.startswith(f"{tmp_path}/x.yaml:2:")
    assert warning.endswith(f": {text} is read as the number {number}; quote it to keep its text")


def test_plain_numbers_quoted_text_ids_and_settings_are_not_warned_about(tmp_path: Path) -> None:
    text = (
        "batch: 2024.10\nrun: {poll: {factor: 1.50}}\n"
        "jobs: [{id: 1.10, inputs: {a: '3.10', b: 3.1, c: -7, d: 0, e: 0.5, f: 1_000, g: 0x, h: +49 170}}]\n"
    )
    assert load(tmp_path, CREW + text).warnings == ()
    assert load(tmp_path, '{"crew":{"url":"embedded"},"jobs":[{"inputs":{"a":1e2}}]}', name="x.json").warnings == ()


def test_json_job_file(tmp_path: Path) -> None:
    text = (
        '{\n\t"$schema": "x",\t"crew":{"url":"embedded"},'
        '"jobs":[{"id":"\\ud83d\\ude00\\/","inputs":{"a":1e2,"b":null}}]}'
    )
    (job,) = jobs_of(load(tmp_path, text, name="x.json"))
    assert (job.job_id, job.inputs) == ("😀/", {"a": 100.0, "b": None})
    assert job.where == Location(f"{tmp_path}/x.json", 2, 52)


def test_an_empty_section_is_as_good_as_none(tmp_path: Path) -> None:
    jobfile = load(tmp_path, CREW + "run:\n  retry:\n  rate:\ndefaults:\nbatch:\njobs: [{id: a, inputs: }]\n")
    assert jobfile.run.concurrency == 10
    assert jobfile.batch == "x"


def test_inline_job(tmp_path: Path) -> None:
    text = """
crew: {url: embedded}
defaults:
  inputs: {duration: 7 days, age: "30"}
  meta: {source: nightly, team: a}
jobs:
  - id: tokyo
    inputs: {budget: 1000 USD, age: "35"}
    meta: {team: b}
"""
    (job,) = jobs_of(load(tmp_path, text))
    assert job.job_id == "tokyo"
    assert job.crew == DEFAULT_CREW
    assert job.inputs == {"duration": "7 days", "age": "35", "budget": "1000 USD"}
    assert job.meta == {"source": "nightly", "team": "b"}
    assert job.row == {"id": "tokyo", "budget": "1000 USD", "age": "35"}
    assert job.where == Location(f"{tmp_path}/x.yaml", 7, 5)


def test_the_content_hash_is_part_of_every_ledger(tmp_path: Path) -> None:
    (job,) = jobs_of(load(tmp_path, CREW + "jobs: [{inputs: {b: 2, a: é}}]\n"))
    assert job.job_id == "1a30e90104159249"
    (again,) = jobs_of(load(tmp_path, CREW + "jobs: [{inputs: {a: é, b: 2}, meta: {m: 1}}]\n"))
    assert again.job_id == job.job_id


def test_braces_in_an_inline_job_are_sent_and_warned_about(tmp_path: Path) -> None:
    jobfile = load(tmp_path, CREW + 'jobs: [{id: a, inputs: {a: "{{ x }}"}}]\n')
    assert jobs_of(jobfile)[0].inputs == {"a": "{{ x }}"}
    assert jobfile.warnings == (
        f"{tmp_path}/x.yaml:2: {{{{ is sent unchanged; templates work only in `rows` and `grid` entries",
    )


def test_grid(tmp_path: Path) -> None:
    text = """
crew: {url: embedded}
defaults: {inputs: {age: "35"}}
jobs:
  - grid: {budget: [500, 1000], duration: [3 days, 7 days]}
    id: "{{ budget }}/{{ duration }}"
    where: budget == 500 or duration != '3 days'
    meta: {doubled: "{{ budget * 2 }}"}
  - grid: {budget: [1]}
    inputs: {text: "for {{ budget }}", nested: [{deep: "{{ budget }}"}], constant: 5}
"""
    jobs = jobs_of(load(tmp_path, text))
    assert [job.job_id for job in jobs[:3]] == ["500/3 days", "500/7 days", "1000/7 days"]
    assert jobs[0].inputs == {"age": "35", "budget": 500, "duration": "3 days"}
    assert jobs[0].row == {"budget": 500, "duration": "3 days"}
    assert jobs[0].meta == {"doubled": 1000}
    assert jobs[0].where.line == 5
    assert jobs[3].inputs == {"age": "35", "text": "for 1", "nested": [{"deep": 1}], "constant": 5}


def test_rows(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text("email,hobby,age,country\na@x.jp,GO,35,JP\nb@x.us,Chess,20,US\n")
    text = """
crew: {url: embedded}
defaults: {inputs: {duration: 7 days}}
jobs:
  - rows: leads.csv
    id: "{{ email }}"
    inputs: {interests: "{{ hobby | lower }}", age: "{{ age }}", years: "{{ age | int }}", on: "{{ date }}"}
    meta: {country: "{{ row['country'] }}"}
    where: "{{ country == 'JP' }}"
"""
    (job,) = jobs_of(load(tmp_path, text))
    assert job.job_id == "a@x.jp"
    assert job.inputs == {"duration": "7 days", "interests": "go", "age": "35", "years": 35, "on": "2026-01-31"}
    assert job.meta == {"country": "JP"}
    assert job.row == {"email": "a@x.jp", "hobby": "GO", "age": "35", "country": "JP"}
    assert job.where == Location(f"{tmp_path}/leads.csv", 2)


@pytest.mark.parametrize(
    ("header", "job_id", "inputs"),
    [
        ("id,a", "1", {"a": "2"}),
        ("a,job_id", "2", {"a": "1"}),
        ("custom_id,a", "1", {"a": "2"}),
        ("custom_id,id", "2", {"custom_id": "1"}),
        ("job_id,custom_id", "1", {"custom_id": "2"}),
    ],
)
def test_the_column_that_gives_the_id_is_not_an_input(
    tmp_path: Path, header: str, job_id: str, inputs: dict[str, str]
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{header}\n1,2\n")
    (job,) = jobs_of(load_jobfile(path, environ={}, today=TODAY, options=JobFileOptions(crew_url="embedded")))
    assert (job.job_id, job.inputs) == (job_id, inputs)
    assert list(job.row) == header.split(",")


def test_a_default_of_the_id_columns_name_stays(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,a\n1,2\n")
    (job,) = jobs_of(load(tmp_path, CREW + "defaults: {inputs: {id: x}}\njobs: [{rows: r.csv}]\n"))
    assert job.inputs == {"id": "x", "a": "2"}


def test_wrong_rows_are_reported_and_reading_continues(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,a\n1,2\n ,3\n4\n5,6\n")
    jobfile = load(tmp_path, CREW + "jobs: [{rows: r.csv}]\n")
    problems = Problems()
    assert [job.job_id for job in jobfile.jobs(problems)] == ["1", "5"]
    with pytest.raises(JobFileError) as caught:
        problems.raise_if_any()
    empty, ragged = (str(problem).rpartition("/")[2] for problem in caught.value.problems)
    assert fits(empty, ("r.csv:3", "`id`", "empty"))
    assert fits(ragged, ("r.csv:4", "1 cell", "2 columns"))


def test_reading_stops_when_the_problems_are_full(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,a\n" + "".join(f"{'x' * n},2\n" for n in range(501, 551)) + "last,1\n")
    (tmp_path / "s.csv").write_text("id,a\nother,1\n")
    problems = Problems()
    assert not list(load(tmp_path, CREW + "jobs: [{rows: r.csv}, {rows: s.csv}]\n").jobs(problems))
    assert problems.full
    assert len(problems) == 20


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A}", "1"),
        ("x-${A}-${A}", "x-1-1"),
        ("${UNSET:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY}", ""),
        ("${UNSET:-}", ""),
        ("${A:?needed}", "1"),
        ("$${A}", "${A}"),
        ("$A $", "$A $"),
        ("${YAML}", "{a: 1}"),
    ],
)
def test_variables(tmp_path: Path, written: str, value: str) -> None:
    text = f"{CREW}jobs:\n  - inputs:\n      a: '{written}'\n"
    (job,) = jobs_of(load(tmp_path, text, environ={"A": "1", "EMPTY": "", "YAML": "{a: 1}"}))
    assert job.inputs["a"] == value


def test_a_variable_can_be_a_number_where_one_is_expected(tmp_path: Path) -> None:
    text = CREW + "run:\n  concurrency: ${N}\n  retry:\n    factor: ${F}\njobs: [{id: a}]\n"
    jobfile = load(tmp_path, text, environ={"N": "7", "F": "1.5"})
    assert (jobfile.run.concurrency, jobfile.run.retry.factor) == (7, 1.5)


def test_dotenv_is_read_and_the_real_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('export A=file\nB="from file"  # why\nC=${A}\n')
    text = CREW + "jobs:\n  - inputs: {a: '${A}', b: '${B}', c: '${C}'}\n"
    (job,) = jobs_of(load(tmp_path, text, environ={"A": "real"}))
    assert job.inputs == {"a": "real", "b": "from file", "c": "${A}"}


def test_rows_hold_no_variables(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,a\n1,${HOME}\n")
    (job,) = jobs_of(load(tmp_path, CREW + "jobs: [{rows: r.csv}]\n"))
    assert job.inputs == {"a": "${HOME}"}
