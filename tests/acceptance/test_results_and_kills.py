"""A run that is killed around a kickoff that is answered with the result: nothing is paid twice without consent."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cli_process import TOKEN, ProcessOptions, call, call_with
from shapes_crew import ShapesCrew

pytestmark = pytest.mark.crash  # starts many processes

DRIVER = ProcessOptions(script=Path(__file__).with_name("crash_driver.py"))
JOB_FILE = """
crew: {{url: "{url}/{shape}", token: "${{CREW_TOKEN}}", sync: {sync}}}
run: {{concurrency: 1, delivery: {delivery}, retry: {{backoff: 10ms}}}}
jobs: [{{rows: rows.csv}}]
"""


@pytest.mark.parametrize(
    ("point", "recorded"),
    [
        ("before:post", False),  # the intent is durable: it may have been sent
        ("after:post", False),
        ("before:end", False),
        ("after:end", True),
    ],
)
@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("shape", ["direct", "sync"])
def test_killed_around_a_result(tmp_path: Path, shape: str, delivery: str, point: str, recorded: bool) -> None:
    (tmp_path / "rows.csv").write_text("id,text\na,Tokyo\nb,Kyoto\n")
    with ShapesCrew(TOKEN, "") as crew:
        text = JOB_FILE.format(url=crew.url, shape=shape, sync=json.dumps(shape == "sync"), delivery=delivery)
        (tmp_path / "jobs.yaml").write_text(text, encoding="utf-8")
        killed = call_with(DRIVER, tmp_path, point, "1", "--", "run", "jobs.yaml")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        ended = call(tmp_path, "run", "jobs.yaml", "--json")
        again = call(tmp_path, "run", "jobs.yaml", "--json")
        kickoffs = crew.kickoffs[shape, "Tokyo"]
        assert crew.kickoffs[shape, "Kyoto"] == 1
    assert json.loads(again.stdout)["kickoffs"] == 0
    counts = json.loads(ended.stdout)["counts"]
    with closing(sqlite3.connect(tmp_path / "results" / "batchcrew.db")) as connection:
        query = "SELECT job_id, state, output, kickoff_id FROM results ORDER BY position"
        tokyo, kyoto = connection.execute(query).fetchall()
    assert kyoto == ("b", "succeeded", "Kyoto", None)
    if recorded:
        assert (tokyo, kickoffs) == (("a", "succeeded", "Tokyo", None), 1)
    elif delivery == "at_most_once":
        assert (tokyo, counts["held"]) == (("a", "held", None, None), 1)
        assert kickoffs == (0 if point == "before:post" else 1)
    else:
        assert (tokyo, counts["possible_duplicates"]) == (("a", "succeeded", "Tokyo", None), 1)
        assert kickoffs == (1 if point == "before:post" else 2)
