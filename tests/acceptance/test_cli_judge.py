"""`batchcrew judge`: what it changes and prints, and that it pays nothing (kickoffs are counted at the server)."""

import asyncio
import json
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cli_process import TOKEN, call, start
from held_crew import HeldCrew
from plain_crew import PlainCrew

from batchcrew.app.judge import JudgeRequest
from batchcrew.app.judge import judge as judge_batch
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock

pytestmark = pytest.mark.crash  # takes long

JOB_FILE = """
crew: {{url: "{url}", token: t}}
{accept}
run: {{poll: {{initial: 10ms, max: 50ms, settle: 0s}}, retry: {{attempts: 1}}{run}}}
jobs: [{{rows: l.csv}}]
"""


class TopicCrew(PlainCrew):
    """A crew whose output is the topic: `a plan for cats`."""

    def output(self, kickoff_id: str) -> str:
        topic = self.sent[int(kickoff_id.removeprefix("k-")) - 1]["topic"]
        return "" if topic == "nothing" else f"a plan for {topic}"


@pytest.fixture
def crew() -> Iterator[TopicCrew]:
    with TopicCrew({"inputs": ["topic"]}) as made:
        yield made


def write(
    folder: Path, crew: PlainCrew, topics: dict[str, str] | None = None, *, accept: str = "", run: str = ""
) -> None:
    rules = accept and f"accept: {{{accept}}}"
    text = JOB_FILE.format(url=crew.url, accept=rules, run=run and f", {run}")
    (folder / "l.yaml").write_text(text, encoding="utf-8")
    if topics is not None:
        rows = "".join(f"{job_id},{topic}\n" for job_id, topic in topics.items())
        (folder / "l.csv").write_text(f"id,topic\n{rows}", encoding="utf-8")


def judge(folder: Path, *words: str, code: int) -> dict[str, Any]:
    ended = call(folder, "judge", "l", "--json", *words)
    assert ended.returncode == code, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    assert document["exit_code"] == code
    return document


def exported(folder: Path) -> dict[str, tuple[str, str | None, str | None]]:
    """State, output and error of each job."""
    rows = json.loads(call(folder, "export", "l", "-f", "json").stdout)
    return {row["id"]: (row["batchcrew_state"], row["output"], row["error"]) for row in rows}


def changes(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {job["job_id"]: (job["before"], job["after"]) for job in document["jobs"]}


CATS_ONLY = "contains: cats"
REJECTED = "answer rejected: does not contain: cats"


def test_changed_rules_change_the_verdicts_and_pay_nothing(tmp_path: Path, crew: TopicCrew) -> None:
    write(tmp_path, crew, {"a": "cats", "b": "dogs", "c": "nothing"})
    assert call(tmp_path, "run", "l.yaml").returncode == 1
    before = exported(tmp_path)
    assert before["c"] == ("failed", "", "answer rejected: it is empty")

    write(tmp_path, crew, accept=CATS_ONLY)
    dry = judge(tmp_path, "--dry-run", code=0)
    assert (dry["judged"], dry["rejected"], dry["accepted"]) == (3, 1, 0)
    assert changes(dry) == {"b": ("succeeded", "failed")}
    assert exported(tmp_path) == before

    assert changes(judge(tmp_path, code=1)) == {"b": ("succeeded", "failed")}
    assert exported(tmp_path)["b"] == ("failed", "a plan for dogs", REJECTED)
    assert judge(tmp_path, code=1)["jobs"] == []

    write(tmp_path, crew, accept="not_empty: false")
    found = judge(tmp_path, code=0)
    assert changes(found) == {"b": ("failed", "succeeded"), "c": ("failed", "succeeded")}
    assert found["counts"]["succeeded"] == 3
    assert exported(tmp_path)["b"] == before["b"]
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    assert len(crew.sent) == 3


def test_what_it_prints(tmp_path: Path, crew: TopicCrew) -> None:
    write(tmp_path, crew, {"a": "cats", "b": "dogs"})
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    write(tmp_path, crew, accept=CATS_ONLY)
    ended = call(tmp_path, "judge", "l")
    assert ended.stdout.splitlines() == [
        f"b: succeeded -> failed: {REJECTED}",
        "l: 2 answers judged: 1 rejected, 0 accepted again, 1 unchanged",
        "  jobs: 1 succeeded, 1 failed",
        "  show one: batchcrew show l b",
        "  run the failed jobs again: batchcrew retry l",
    ]


def test_other_states_are_not_touched_and_stale_jobs_are_counted(tmp_path: Path, crew: TopicCrew) -> None:
    write(tmp_path, crew, {"a": "cats", "b": "dogs", "c": "birds", "d": "fish"})
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    write(tmp_path, crew, {"a": "cats", "b": "mice", "c": "bees", "d": "fish"})
    assert call(tmp_path, "run", "l.yaml").returncode == 1
    assert call(tmp_path, "keep", "l", "c").returncode == 0
    assert call(tmp_path, "retry", "l", "d").returncode == 0
    before = exported(tmp_path)
    assert [before[job][0] for job in "abcd"] == ["succeeded", "stale", "succeeded", "pending"]
    write(tmp_path, crew, accept="contains: nobody")
    found = judge(tmp_path, code=3)
    assert (found["judged"], found["stale"], found["kept"]) == (1, 1, 1)
    after = exported(tmp_path)
    assert [after[job] for job in "bcd"] == [before[job] for job in "bcd"]
    said = call(tmp_path, "judge", "l").stdout
    assert "not judged: 1 job stale" in said
    assert len(crew.sent) == 4


def test_the_latest_attempt_whose_answer_is_accepted_counts(tmp_path: Path) -> None:
    class Worse(TopicCrew):
        """Each answer is shorter than the one before."""

        def output(self, kickoff_id: str) -> str:
            return "long " * (4 - int(kickoff_id.removeprefix("k-")))

    with Worse({"inputs": ["topic"]}) as crew:
        write(
            tmp_path,
            crew,
            {"a": "x"},
            accept="min_length: 100",
            run="retry: {attempts: 3, on: [rejected], backoff: 1ms}",
        )
        path = tmp_path / "l.yaml"
        path.write_text(path.read_text().replace("retry: {attempts: 1}, ", ""))
        assert call(tmp_path, "run", "l.yaml").returncode == 1
        assert len(crew.sent) == 3
        path.write_text(path.read_text().replace("min_length: 100", "min_length: 9"))
        assert changes(judge(tmp_path, code=0)) == {"a": ("failed", "succeeded")}
        assert exported(tmp_path)["a"] == ("succeeded", "long long ", None)
        path.write_text(path.read_text().replace("min_length: 9", "min_length: 12"))
        found = call(tmp_path, "judge", "l")
        assert (found.returncode, "succeeded -> succeeded" in found.stdout) == (0, True)
        assert exported(tmp_path)["a"][1] == "long long long "
        path.write_text(path.read_text().replace("min_length: 12", "min_length: 100"))
        assert changes(judge(tmp_path, code=1)) == {"a": ("succeeded", "failed")}
        assert len(crew.sent) == 3


def test_an_answer_of_a_job_that_left_the_file_is_judged_and_not_taken_over_once_rejected(
    tmp_path: Path, crew: TopicCrew
) -> None:
    write(tmp_path, crew, {"a": "cats", "b": "dogs"})
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    write(tmp_path, crew, {"a": "cats"}, accept=CATS_ONLY)
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    assert changes(judge(tmp_path, code=0)) == {"b": ("succeeded", "failed")}
    write(tmp_path, crew, {"c": "cats", "d": "dogs"}, accept=CATS_ONLY)
    assert call(tmp_path, "run", "l.yaml").returncode == 1
    topics = [row["topic"] for row in crew.sent]
    assert (sorted(topics[:2]), topics[2:]) == (["cats", "dogs"], ["dogs"])  # the first two are sent concurrently
    assert exported(tmp_path)["c"][0] == "succeeded"


def test_a_change_of_the_rules_alone_runs_nothing_again(tmp_path: Path, crew: TopicCrew) -> None:
    write(tmp_path, crew, {"a": "cats", "b": "dogs"})
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    write(tmp_path, crew, accept=CATS_ONLY)
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    assert len(crew.sent) == 2


def test_during_a_run_it_changes_nothing(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        (tmp_path / "l.yaml").write_text(
            f'crew: {{url: "{crew.url}", token: {TOKEN}}}\nrun: {{poll: {{initial: 10ms, max: 50ms}}}}\n'
            "jobs: [{id: a, inputs: {budget: '1', interests: x, duration: 1 day, age: '3'}}]\n"
        )
        process = start(tmp_path, "run", "l.yaml")
        crew.wait_for_kickoffs(1, process)
        assert call(tmp_path, "judge", "l").returncode == 4
        crew.release()
        process.communicate()
        assert process.wait() == 0
        assert crew.kickoffs == 1


def test_a_mistake_in_the_rules_changes_nothing(tmp_path: Path, crew: TopicCrew) -> None:
    write(tmp_path, crew, {"a": "cats"})
    assert call(tmp_path, "run", "l.yaml").returncode == 0
    write(tmp_path, crew, accept="not_matching: '('")
    ended = call(tmp_path, "judge", "l")
    assert ended.returncode == 2
    assert "l.yaml:3:24" in ended.stderr
    assert exported(tmp_path)["a"][0] == "succeeded"
    assert call(tmp_path, "judge", "nobody").returncode == 2


def test_answers_that_look_like_none_are_shown(tmp_path: Path) -> None:
    class Sorry(TopicCrew):
        def output(self, kickoff_id: str) -> str:
            return "I'm sorry, I cannot help with that." if kickoff_id == "k-1" else "N/A"

    with Sorry({"inputs": ["topic"]}) as crew:
        write(tmp_path, crew, {"a": "cats", "b": "dogs"}, run="concurrency: 1")
        ended = call(tmp_path, "run", "l.yaml")
        assert ended.returncode == 0
        said = "2 jobs succeeded with an answer that may be useless (such as job a: an apology)"
        assert f"warning: {said}" in ended.stdout + ended.stderr
        assert said in call(tmp_path, "judge", "l", "--dry-run").stdout
        assert judge(tmp_path, code=0)["lookalikes"] == 2
        assert "looks like: no answer" in call(tmp_path, "show", "l", "b").stdout


@pytest.mark.parametrize(("number", "size"), [(4000, 20_000), (20, 4_000_000)])
def test_memory_does_not_grow_with_the_answers(tmp_path: Path, crew: TopicCrew, number: int, size: int) -> None:
    """Of 80 MB in many answers, or in large ones, less than 8 MB are in memory at a time."""
    write(tmp_path, crew, {f"j{n}": "cats" for n in range(number)})
    assert call(tmp_path, "run", "l.yaml", "--watch-only").returncode == 3
    path = tmp_path / "results" / "batchcrew.db"
    ledger = sqlite3.connect(path)
    with ledger:
        ledger.execute("UPDATE jobs SET state = 'succeeded', attempts = 1, charged = 1")
        ledger.execute(
            "INSERT INTO attempts (id, job, number, run_id, state, kickoff_id, intended_at, kicked_off_at, ended_at,"
            " output) SELECT r.id || '-' || j.id, j.id, 1, r.id, 'succeeded', 'k' || j.id, '2026', '2026', '2026',"
            " replace(hex(zeroblob(?)), '0', 'x') FROM jobs AS j, runs AS r",
            (size // 2,),
        )
    ledger.close()
    write(tmp_path, crew, accept=CATS_ONLY)
    source = Source(path=Path(), environ={}, today=date(2026, 1, 1))
    request = JudgeRequest(ledger=path, batch="l", source=source)
    reported: Counter[str] = Counter()
    tracemalloc.start()
    try:
        found = asyncio.run(
            judge_batch(request, clock=SystemClock(), report=lambda judgement: reported.update([judgement.after]))
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found.judged, reported, found.counts.failed) == (number, {"failed": number}, number)
    assert crew.sent == []
    assert peak < 40 * 2**20, peak  # 32 MiB of it are the buffer that the job file is read into
