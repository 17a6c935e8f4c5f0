"""A run against a server that mixes every shape of answer: each is stored right, and no job is paid for twice."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from cli_process import TOKEN, call
from shapes_crew import SHAPES, ShapesCrew, filled

JOBS = 400
TENANT = "the-tenant-of-the-tests"


def write_batch(folder: Path, url: str) -> dict[str, str]:
    """Write the job file and its rows; return the shape of each job."""
    names = list(SHAPES)
    shapes = {f"j{n}": names[n % len(names)] for n in range(JOBS)}
    for name in names:
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text"])
            writer.writerows([job, f"trip of {job}"] for job, shape in shapes.items() if shape == name)
    document = {
        "crews": {
            name: {"url": f"{url}/{name}", "token": "${CREW_TOKEN}", **shape.settings} for name, shape in SHAPES.items()
        },
        "run": {
            "concurrency": 40,
            "poll": {"initial": "10ms", "max": "20ms", "settle": "30s"},
            "retry": {"on": [], "backoff": "10ms"},
            "stop_after_failures": "none",
        },
        "jobs": [{"rows": f"{name}.csv", "crew": name} for name in names],
    }
    (folder / "mixed.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return shapes


def stored(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of the view `results` by job."""
    with closing(sqlite3.connect(folder / "results" / "batchcrew.db")) as connection:
        connection.row_factory = sqlite3.Row
        return {row["job_id"]: dict(row) for row in connection.execute("SELECT * FROM results")}


def test_every_answer_of_400_jobs_is_stored_right_and_each_job_is_kicked_off_once(tmp_path: Path) -> None:
    assert len(SHAPES) >= 40
    with ShapesCrew(TOKEN, TENANT) as crew:
        shapes = write_batch(tmp_path, crew.url)
        ended = call(tmp_path, "run", "mixed.yaml", "--json", TENANT=TENANT)
    assert crew.wrong == [], ended.stderr
    assert sorted(crew.kickoffs) == sorted((shape, f"trip of {job}") for job, shape in shapes.items())
    assert set(crew.kickoffs.values()) == {1}
    rows = stored(tmp_path)
    assert len(rows) == JOBS
    failed = 0
    for job, name in shapes.items():
        shape, row, text = SHAPES[name], rows[job], f"trip of {job}"
        found = (row["state"], row["output"], row["error"])
        error = filled(shape.error, text=text) or None
        failed += error is not None
        output = None if shape.output is None else filled(shape.output, text=text)
        assert found == ("failed" if error else "succeeded", output, error), name
        if shape.value is not None:
            assert json.loads(row["result_json"]) == filled(shape.value, text=text), name
        else:
            assert row["result_json"] is None, name
        assert (row["kickoff_id"] is None) == (not shape.polls and name != "sync-with-id"), name
        assert row["started_at"] is not None
    result = json.loads(ended.stdout)
    assert (result["counts"]["succeeded"], result["counts"]["failed"]) == (JOBS - failed, failed)
    assert (result["kickoffs"], result["counts"]["possible_duplicates"], result["without_output"]) == (JOBS, 0, 0)
    everything = ended.stdout + ended.stderr + json.dumps(rows)
    assert TENANT not in everything
    assert TOKEN not in everything


def test_verbose_names_each_kickoff_each_poll_and_what_was_understood(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,text\na,Tokyo\n")
    with ShapesCrew(TOKEN, TENANT) as crew:
        job_file = f"crew: {{url: {crew.url}/no-status, token: {TOKEN}}}\nrun: {{poll: {{initial: 10ms}}}}\n"
        (tmp_path / "one.yaml").write_text(job_file + "jobs: [{rows: rows.csv}]\n", encoding="utf-8")
        ended = call(tmp_path, "run", "one.yaml", "-v")
        assert call(tmp_path, "run", "one.yaml", "-v", "-q").returncode == 2
    lines = [line.split(": ", 1)[1] for line in ended.stderr.splitlines() if line.startswith("20")]
    kept = [line for line in lines if line.startswith(("job a", "crew default"))]
    assert kept == [
        "job a: kickoff sent to crew default, attempt 1",
        "job a: kickoff accepted as no-status-0",
        "crew default: found the kickoff id at kickoff_id",
        "job a: poll: no status: the status request was answered with 200, but the answer has no status:"
        ' {"what":"is this"}',
        "job a: poll: completed",
        "crew default: found the status at status",
        "crew default: found the output at result",
        "job a: succeeded",
    ]
    assert TOKEN not in ended.stderr
    shown = call(tmp_path, "show", "one", "a")
    assert '      {"what": "is this"}' in shown.stdout.splitlines()
