"""Failures explained: 37 of 800 jobs fail for four reasons, and only those of one reason are kicked off again."""

import contextlib
import json
import os
import pty
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import call, call_fresh
from plain_crew import PlainCrew

JOB_FILE = """
batch: leads
crew: {{url: "{url}", token: t, price_per_kickoff: 0.50 USD}}
run: {{concurrency: 20, stop_after_failures: none, poll: {{initial: 1ms, max: 5ms}}, retry: {{attempts: 1}}}}
jobs: [{{rows: leads.csv, id: "lead-{{{{ n }}}}", inputs: {{n: "{{{{ n }}}}"}}}}]
"""
KINDS = {
    "RateLimitError: 429 Too Many Requests, retry after {n} s (request req_{n:08x})": range(0, 800, 40),
    "ValidationError: row {n} of 800 has no field 'city {n}'": range(7, 800, 80),
    "tool search failed: https://search.example.com/q?id={n} answered 503 after {n}.5 s": range(13, 800, 160),
    "KeyError: 'lead {n}' (trace 4f5e{n:04d}-aaaa-4000-8000-123456789abc)": (334, 444),
}
ERRORS = {n: text.format(n=n) for text, numbers in KINDS.items() for n in numbers}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "leads.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(800)), encoding="utf-8")
    return tmp_path


@pytest.fixture
def crew(folder: Path) -> Iterator[PlainCrew]:
    with PlainCrew() as made:
        made.error_of = lambda inputs: ERRORS.get(int(inputs["n"]))
        (folder / "jobs.yaml").write_text(JOB_FILE.format(url=made.url), encoding="utf-8")
        yield made


def failures(folder: Path) -> dict[str, Any]:
    said = call(folder, "failures", "leads", "--json")
    assert said.returncode == 0, said.stderr
    document: dict[str, Any] = json.loads(said.stdout)
    return document


@pytest.mark.crash  # each runs 800 jobs
def test_37_failures_of_four_kinds_are_four_groups_and_one_kind_is_kicked_off_again(
    folder: Path, crew: PlainCrew
) -> None:
    assert len(ERRORS) == 37
    ended = call(folder, "run", "jobs.yaml")
    assert ended.returncode == 1
    assert len(crew.sent) == 800
    assert "20 failed, such as lead-0: " in ended.stderr
    assert "batchcrew failures leads" in ended.stderr
    explained = failures(folder)
    groups = explained["groups"]
    assert [(group["jobs"], group["share"]) for group in groups] == [
        (20, 0.025),
        (10, 0.0125),
        (5, 0.0063),
        (2, 0.0025),
    ]
    assert (explained["failed"], explained["more_groups"]) == (37, 0)
    assert [group["cost"] for group in groups] == ["10.00 USD", "5.00 USD", "2.50 USD", "1.00 USD"]
    assert [group["kinds"] for group in groups] == [{"failed": group["jobs"]} for group in groups]
    assert [group["attempts"] for group in groups] == [{"least": 1, "most": 1}] * 4
    assert {group["reason"] for group in groups} == {ERRORS[0], ERRORS[7], ERRORS[13], ERRORS[334]}
    text = call(folder, "failures", "leads").stdout
    assert text.count("\n\n") == 4
    assert groups[1]["retry"] in text
    crew.error_of = lambda inputs: None
    reset = call(folder, *shlex.split(groups[1]["retry"])[-4:])
    assert reset.returncode == 0, reset.stderr
    assert "10 jobs" in reset.stdout
    assert "5.00 USD" in reset.stderr
    assert call(folder, "run", "jobs.yaml").returncode == 1
    assert sorted(int(inputs["n"]) for inputs in crew.sent[800:]) == list(range(7, 800, 80))
    assert [group["jobs"] for group in failures(folder)["groups"]] == [20, 5, 2]


@pytest.mark.crash  # each runs 800 jobs
def test_a_retry_is_undone_before_the_next_run(folder: Path, crew: PlainCrew) -> None:
    call(folder, "run", "jobs.yaml")
    before = failures(folder)
    reset = call(folder, "retry", "leads", "--reason", "ratelimit*")
    assert (reset.returncode, "20 jobs" in reset.stdout) == (0, True)
    assert json.loads(call(folder, "status", "--json").stdout)["counts"]["pending"] == 20
    assert [group["jobs"] for group in failures(folder)["groups"]] == [10, 5, 2]
    undone = call(folder, "retry", "leads", "--cancel")
    assert (undone.returncode, "20 jobs" in undone.stdout) == (0, True)
    assert failures(folder) == before
    assert call(folder, "run", "jobs.yaml").returncode == 1
    assert len(crew.sent) == 800
    assert call(folder, "retry", "leads", "--cancel").stdout.startswith("0 jobs of leads ")
    assert call(folder, "retry", "leads", "lead-0", "--cancel").returncode == 2
    assert call(folder, "run", "jobs.yaml", "--retry-failed", "--watch-only").returncode == 3
    assert json.loads(call(folder, "status", "--json").stdout)["counts"]["pending"] == 37
    assert call(folder, "retry", "leads", "--cancel").stdout.startswith("37 jobs of leads ")
    assert failures(folder) == before
    assert call(folder, "run", "jobs.yaml").returncode == 1
    assert len(crew.sent) == 800


@pytest.mark.crash  # each runs 800 jobs
def test_conditions_intersect_and_those_that_match_nothing_are_an_error(folder: Path, crew: PlainCrew) -> None:
    call(folder, "run", "jobs.yaml")
    fingerprint = failures(folder)["groups"][0]["fingerprint"]
    for wrong in (
        ("--reason", "RateLimit"),
        ("--reason", "*429*", "--job", "lead-7"),
        ("--fingerprint", "ffffffffffff"),
        ("--fingerprint", ""),
        ("--reason", "*", "--job", "lead-1"),  # it has succeeded, so it has no reason
        ("--reason", "*", "--state", "succeeded"),
        ("--reason", "*", "--job", "nobody"),
        ("--cancel", "--held"),
    ):
        assert call(folder, "retry", "leads", *wrong).returncode == 2, wrong
    narrowed = ("--fingerprint", fingerprint[:6], "--reason", "*429*", "--job", "lead-40", "--job", "lead-7")
    assert "1 job of leads is pending" in call(folder, "retry", "leads", *narrowed).stdout
    assert call(folder, "run", "jobs.yaml").returncode == 1
    assert [inputs["n"] for inputs in crew.sent[800:]] == ["40"]


def at_a_terminal(folder: Path, answer: bytes, *arguments: str) -> tuple[int, str, str]:
    """Call batchcrew at a terminal on which you type the answer; return exit code, stdout and what the terminal had."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        terminal.write(answer)
        ended = call_fresh(folder, *arguments, stdin=theirs, stderr=theirs)
        os.close(theirs)
        read = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := terminal.read(4096):
                read += part
    return ended.returncode, ended.stdout, read.decode()


@pytest.mark.crash  # each runs 800 jobs
def test_on_a_terminal_a_retry_is_confirmed_unless_the_answer_is_given(folder: Path, crew: PlainCrew) -> None:
    call(folder, "run", "jobs.yaml")
    code, said, shown = at_a_terminal(folder, b"n\n", "retry", "leads", "--reason", "*503*")
    assert (code, said) == (2, "")
    assert "5 kickoffs, 2.50 USD" in shown
    assert len(failures(folder)["groups"]) == 4
    code, said, shown = at_a_terminal(folder, b"", "retry", "leads", "--reason", "*503*", "--yes")
    assert (code, "5 jobs" in said, "[y/N]" in shown) == (0, True, False)
    code, said, shown = at_a_terminal(folder, b"y\n", "retry", "leads")
    assert (code, "32 jobs" in said, "[y/N]" in shown) == (0, True, True)
    assert failures(folder)["groups"] == []


@pytest.mark.crash  # each runs 800 jobs
def test_a_batch_without_failures_and_totals_of_status_and_list(folder: Path, crew: PlainCrew) -> None:
    crew.error_of = lambda inputs: None
    assert call(folder, "run", "jobs.yaml").returncode == 0
    none = call(folder, "failures")
    assert (none.returncode, none.stdout) == (0, "leads: none of 800 jobs has failed or is on hold\n")
    assert failures(folder)["groups"] == []
    status = json.loads(call(folder, "status", "--json").stdout)
    assert json.loads(call(folder, "list", "--json").stdout)[0]["totals"] == status["totals"]
    totals = status["totals"]
    assert (totals["runs"], totals["kickoffs"], totals["cost"], totals["last_exit_code"]) == (1, 800, "400.00 USD", 0)
    assert totals["seconds"] > 0
    assert totals["kickoffs_per_minute"] > 0
    assert status["without_output"] == 0
