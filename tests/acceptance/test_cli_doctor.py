"""`doctor` and `init` as they are called: exit codes, files, consent, and kickoffs counted at the server."""

import csv
import json
import os
import pty
import signal
import stat
from pathlib import Path

import pytest
from cli_process import TOKEN, call, call_fresh, read_until, start
from held_crew import HeldCrew
from plain_crew import PlainCrew

pytestmark = pytest.mark.crash  # takes long

GIVEN = [word for name in ("budget", "interests", "duration", "age") for word in ("--input", f"{name}=1")]


def test_doctor_examines_each_crew_of_a_job_file_and_starts_nothing(folder: Path, held: HeldCrew) -> None:
    text = f"""
crews:
  good: {{url: "{held.url}", token: "${{CREW_TOKEN}}"}}
  bad: {{url: "{held.url}", token: a-wrong-token}}
  demo: {{url: embedded}}
jobs: [{{rows: trips.csv, crew: good}}]
"""
    (folder / "several.yaml").write_text(text, encoding="utf-8")
    ended = call(folder, "doctor", "several.yaml", "--json")
    assert ended.returncode == 5
    found = json.loads(ended.stdout)
    assert [crew["name"] for crew in found["crews"]] == ["good", "bad", "demo"]
    assert [any(check["level"] == "problem" for check in crew["checks"]) for crew in found["crews"]] == [
        False,
        True,
        False,
    ]
    assert (found["problems"], found["kickoff"]) == (1, None)
    assert [entry["name"] for entry in found["crews"][2]["inputs"]] == ["budget", "interests", "duration", "age"]
    assert call(folder, "doctor", "several.yaml", "--crew", "good").returncode == 0
    assert call(folder, "doctor", "several.yaml", "--crew", "god").returncode == 2
    assert TOKEN not in ended.stdout + ended.stderr
    assert "a-wrong-token" not in ended.stdout
    assert held.kickoffs == 0
    assert not (folder / "results").exists()


def test_doctor_pays_for_nothing_without_consent(folder: Path, held: HeldCrew) -> None:
    ended = call(folder, "doctor", "jobs.yaml", "--kickoff")
    assert ended.returncode == 2
    assert "--yes" in ended.stderr
    assert ended.stdout == ""
    assert call(folder, "doctor", "jobs.yaml", *GIVEN).returncode == 2
    assert call(folder, "doctor", "nothing.yaml").returncode == 2
    assert call(folder, "doctor", "ftp://crew.example.com").returncode == 2
    assert held.kickoffs == 0


def test_the_execution_of_doctor_is_adopted_by_its_job(folder: Path, held: HeldCrew) -> None:
    held.release()
    ended = call(folder, "doctor", "jobs.yaml", "--kickoff", "--yes", "--json")
    assert ended.returncode == 0, ended.stderr
    kickoff = json.loads(ended.stdout)["kickoff"]
    assert kickoff["ended"]
    assert f"kickoff_id: {kickoff['kickoff_id']}\n" in ended.stderr
    assert held.kickoffs == 1
    (folder / "adopt.csv").write_text(f"job_id,kickoff_id\ntrip-0,{kickoff['kickoff_id']}\n", encoding="utf-8")
    assert f"trip-0,{kickoff['kickoff_id']}" in json.loads(ended.stdout)["notes"][0]
    assert call(folder, "adopt", "jobs.yaml", "--csv", "adopt.csv").returncode == 3
    assert held.kickoffs == 1
    assert call(folder, "run", "jobs.yaml", "-q").returncode == 0
    assert held.kickoffs == 40
    assert held.stats()["max_kickoffs_per_job"] == 1


@pytest.mark.parametrize(("answer", "code", "kickoffs"), [("n", 2, 0), ("y", 0, 1)])
def test_consent_is_requested_at_a_terminal(
    folder: Path, held: HeldCrew, answer: str, code: int, kickoffs: int
) -> None:
    held.release()
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    ended = call_fresh(folder, "doctor", "jobs.yaml", "--kickoff", stdin=theirs, stderr=theirs)
    os.close(theirs)
    os.close(ours)
    assert ended.returncode == code
    assert held.kickoffs == kickoffs


def test_an_interrupted_watch_has_printed_the_kickoff_id(folder: Path, held: HeldCrew) -> None:
    process = start(folder, "doctor", "jobs.yaml", "--kickoff", "--yes")
    read_until(process, "kickoff_id: ")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 3
    assert held.kickoffs == 1


def test_the_commands_of_the_hint_work_as_they_are_printed() -> None:
    from batchcrew.reports.doctor import adopt_hint

    hint = adopt_hint("my jobs.yaml", 'a "b", c', "k-1")
    assert hint == (
        """printf 'job_id,kickoff_id\\n%s\\n' '"a ""b"", c",k-1' > adopt.csv"""
        """ && batchcrew adopt 'my jobs.yaml' --csv adopt.csv"""
    )


def test_doctor_at_a_url_needs_the_inputs(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        crew.release()
        (tmp_path / ".env").write_text(f"CREW_TOKEN={TOKEN}\n", encoding="utf-8")
        assert call(tmp_path, "doctor", crew.url, CREW_TOKEN="a-wrong-token").returncode == 5
        ended = call(tmp_path, "doctor", crew.url, "--kickoff", "--yes", "--input", "budget=1")
        assert ended.returncode == 2
        assert crew.kickoffs == 0
        ended = call(tmp_path, "doctor", crew.url, "--kickoff", "--yes", *GIVEN)
        assert ended.returncode == 0, ended.stderr
        assert crew.kickoffs == 1
    assert "no problems" in ended.stdout
    ended = call(tmp_path, "doctor", crew.url, "--kickoff", "--yes", *GIVEN)  # it has stopped
    assert ended.returncode == 5
    assert "nothing was kicked off" in ended.stdout


def poll_often(jobfile: Path) -> None:
    """Let a run of the job file notice the end of an execution soon."""
    text = jobfile.read_text(encoding="utf-8")
    assert "run:\n" in text
    jobfile.write_text(text.replace("run:\n", "run:\n  poll: {initial: 20ms, max: 100ms}\n"), encoding="utf-8")


def test_init_writes_a_job_file_that_runs(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        crew.release()
        ended = call(tmp_path, "init", crew.url, "--dir", "new", "--json")
        assert ended.returncode == 0, ended.stderr
        written = json.loads(ended.stdout)
        assert written["inputs"] == ["budget", "interests", "duration", "age"]
        rows = [*csv.reader((tmp_path / written["rows"]).read_text(encoding="utf-8").splitlines())]
        assert (rows[0], len(rows)) == (written["inputs"], 2)
        assert crew.kickoffs == 0
        assert call(tmp_path, "check", written["jobfile"]).returncode == 0
        with (tmp_path / written["rows"]).open("a", encoding="utf-8") as file:
            file.write("2000 USD,books,1 day,30\n")
        poll_often(tmp_path / written["jobfile"])
        assert call(tmp_path, "run", written["jobfile"], "-q").returncode == 0
        assert crew.kickoffs == 2
    for name in ("jobs.yaml", "rows.csv"):
        assert TOKEN not in (tmp_path / "new" / name).read_text(encoding="utf-8")
        assert not stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) & 0o077


def test_init_replaces_no_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("mine\n", encoding="utf-8")
    with PlainCrew({"inputs": ["topic"]}) as crew:
        assert call(tmp_path, "init", crew.url).returncode == 2
        assert crew.requests == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv"]
        assert (tmp_path / "rows.csv").read_text(encoding="utf-8") == "mine\n"
        assert call(tmp_path, "init", crew.url, "--force").returncode == 0
    assert (tmp_path / "rows.csv").read_text(encoding="utf-8").startswith("topic\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs.yaml", "rows.csv"]


def test_init_of_a_target_names_the_address_of_serve(tmp_path: Path) -> None:
    assert call(tmp_path, "init", "demo").returncode == 0
    with HeldCrew() as crew:  # as `batchcrew serve` on another port
        crew.release()
        poll_often(tmp_path / "jobs.yaml")
        ended = call(tmp_path, "run", "jobs.yaml", "-q", CREW_URL=crew.url)
        assert ended.returncode == 0, ended.stderr
        assert crew.kickoffs == 1
    assert "url: ${CREW_URL:-http://127.0.0.1:8000}" in (tmp_path / "jobs.yaml").read_text(encoding="utf-8")
    assert call(tmp_path, "init", "no_such_module", "--dir", "other").returncode == 2


def first_inputs(folder: Path, jobfile: str = "jobs.yaml") -> list[str]:
    """Return the names of the inputs that a run would send for the first job."""
    ended = call(folder, "check", jobfile, "--json")
    assert ended.returncode == 0, ended.stderr
    return [*json.loads(ended.stdout)["samples"][0]["inputs"]]


def test_init_of_crews_with_odd_inputs_or_none(tmp_path: Path) -> None:
    with PlainCrew(404) as crew:
        assert call(tmp_path, "init", crew.url).returncode == 5  # it lists none, and --input is missing
        assert call(tmp_path, "init", crew.url, "--dir", "new").returncode == 5
        assert [*tmp_path.iterdir()] == []
        names = ["a topic", "on", "${HOME}", 'x: "y"', "{{ z }}"]
        options = [word for name in names for word in ("--input", name)]
        assert call(tmp_path, "init", crew.url, *options).returncode == 0
        assert first_inputs(tmp_path) == names
        for names in ([], ["id"], ["a topic", "=1+1", 'x,"y"', "on"]):
            crew.inputs = {"inputs": names}
            assert call(tmp_path, "init", crew.url, "--force").returncode == 0
            assert first_inputs(tmp_path) == names
        assert crew.sent == []
