"""A ledger that an earlier version wrote: read by none but `backup`, upgraded, and nothing in it is paid again."""

import contextlib
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from cli_process import Crew, call

from batchcrew.ledger.migrations import MIGRATIONS

OLD = Path(__file__).parents[1] / "fixtures" / "ledger_v2"
LEDGER = "results/batchcrew.db"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of version 0.1.0: `demo` was interrupted, `paid` has jobs in every state."""
    folder = tmp_path / "old"
    shutil.copytree(OLD, folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def counts(folder: Path, batch: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(call(folder, "status", batch, "--json").stdout)["counts"]
    return {name: number for name, number in found.items() if number and name != "total"}


def kickoffs_of_the_embedded_crew(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "results" / "embedded-crew.db")) as connection, connection:
        return int(connection.execute("SELECT count(*) FROM executions").fetchone()[0])


def test_commands_that_read_name_the_upgrade_and_change_nothing(old: Path) -> None:
    before = digests(old)
    for arguments in (("status",), ("list",), ("failures",), ("show", "paid", "x"), ("export", "paid"), ("runs",)):
        ended = call(old, *arguments)
        assert ended.returncode == 2
        assert "batchcrew upgrade" in ended.stderr
    assert call(old, "check", "demo.yaml", "--offline").returncode == 2
    assert digests(old) == before


def test_a_copy_of_an_old_ledger_is_backed_up_as_it_is(old: Path) -> None:
    before = digests(old)
    assert call(old, "backup", "../copy.db").returncode == 0
    assert digests(old) == before
    with contextlib.closing(sqlite3.connect(old.parent / "copy.db")) as connection, connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_an_upgraded_ledger_has_everything_and_is_then_read_without_being_changed(old: Path) -> None:
    ended = call(old, "upgrade")
    assert ended.returncode == 0, ended.stderr
    assert "from schema 2 to" in ended.stdout
    assert "up to date" in call(old, "upgrade").stdout
    before = digests(old)
    assert counts(old, "demo") == {"succeeded": 3, "open": 3, "pending": 2}
    assert counts(old, "paid") == {"succeeded": 6, "failed": 2, "held": 1, "pending": 3}
    runs = json.loads(call(old, "runs", "--json").stdout)
    assert [(run["batch"], run["kind"], run["kickoffs"], run["exit_code"]) for run in runs] == [
        ("paid", "run", 8, 3),
        ("demo", "run", 6, 3),
    ]
    assert call(old, "export", "paid", "-f", "json").returncode == 0
    assert digests(old) == before
    with contextlib.closing(sqlite3.connect(old / LEDGER)) as connection, connection:
        rows = connection.execute("SELECT count(*), count(reason_fingerprint) FROM failures").fetchone()
        assert rows == (3, 3)


@pytest.mark.crash
def test_an_interrupted_batch_of_an_old_ledger_is_finished_and_nothing_is_paid_again(old: Path) -> None:
    """The executions in progress ended long ago; the run, which upgrades the ledger, takes their results."""
    assert kickoffs_of_the_embedded_crew(old) == 6
    ended = call(old, "run", "demo.yaml")
    assert ended.returncode == 0, ended.stderr
    assert counts(old, "demo") == {"succeeded": 8}
    assert kickoffs_of_the_embedded_crew(old) == 8  # the two that were pending


def test_jobs_that_ended_in_an_old_ledger_are_not_paid_again(old: Path) -> None:
    crew = Crew(old, "--execution-time", "20ms")
    ended = call(old, "run", "paid.yaml", CREW_URL=crew.url)
    assert ended.returncode == 1, ended.stderr  # failed and held jobs stay as they are
    assert counts(old, "paid") == {"succeeded": 9, "failed": 2, "held": 1}
    assert crew.stats()["kickoffs"] == 3
    crew.stop()


NEWER = OLD.with_name("ledger_v3")


def test_after_the_upgrade_nothing_looks_changed_and_nothing_is_paid_again(tmp_path: Path) -> None:
    """`noids` was ingested when all columns and the meta decided the identity of a job."""
    folder = tmp_path / "v3"
    shutil.copytree(NEWER, folder)
    before = kickoffs_of_the_embedded_crew(folder)
    assert call(folder, "upgrade").returncode == 0
    assert counts(folder, "noids") == {"succeeded": 3}
    plan = json.loads(call(folder, "check", "noids.yaml", "--json").stdout)
    assert (plan["unchanged"], plan["new"], plan["changed"], plan["to_kick_off"]) == (3, 0, 0, 0)
    # another meta, another order: the file is read again
    (folder / "noids.yaml").write_text((folder / "noids.yaml").read_text().replace("{{ notes }}", "{{ age }}"))
    header, *rows = (folder / "noids.csv").read_text().splitlines()
    (folder / "noids.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    ended = call(folder, "run", "noids.yaml")
    assert ended.returncode == 0, ended.stderr
    assert counts(folder, "noids") == {"succeeded": 3}
    assert kickoffs_of_the_embedded_crew(folder) == before
    # every column is sent, as before: another note is another input
    (folder / "noids.csv").write_text((folder / "noids.csv").read_text().replace("vip", "done"))
    assert call(folder, "run", "noids.yaml", "--limit", "1").returncode == 0
    assert kickoffs_of_the_embedded_crew(folder) == before + 1


def test_an_answer_to_inputs_edited_before_the_upgrade_belongs_to_no_row(tmp_path: Path) -> None:
    """Which inputs an earlier attempt had was not recorded: the job's present ones would be a guess."""
    folder = tmp_path / "v3"
    shutil.copytree(NEWER, folder)
    with contextlib.closing(sqlite3.connect(folder / LEDGER)) as connection, connection:
        connection.execute(
            "UPDATE jobs SET state = 'pending' WHERE id = (SELECT min(job) FROM attempts WHERE state = 'succeeded')"
        )
    connection.close()
    assert call(folder, "upgrade").returncode == 0
    with contextlib.closing(sqlite3.connect(folder / LEDGER)) as connection, connection:
        query = (
            "SELECT j.state, a.sent_inputs FROM attempts AS a JOIN jobs AS j ON j.id = a.job"
            " WHERE a.state = 'succeeded' ORDER BY j.id"
        )
        (first, *others) = connection.execute(query).fetchall()
    connection.close()
    assert first == ("pending", "null")
    assert all(sent is None for state, sent in others if state == "succeeded")


# Schemas 6 and 7


@pytest.fixture(params=[6, 7])
def recent(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """`demo` was killed while executions were in progress, `paid` ended at its `--limit`; 7 was paused and set."""
    folder = tmp_path / "recent"
    shutil.copytree(OLD.with_name(f"ledger_v{request.param}"), folder)
    return folder


def schema_of(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / LEDGER)) as connection, connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_what_a_recent_ledger_has_is_there_after_the_upgrade(recent: Path) -> None:
    before = schema_of(recent)
    assert call(recent, "status", "paid").returncode == 2
    upgraded = call(recent, "upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    assert schema_of(recent) == len(MIGRATIONS) > before
    assert counts(recent, "paid") == {"succeeded": 6, "failed": 2, "pending": 4}
    assert counts(recent, "demo") == (
        {"succeeded": 3, "open": 3, "pending": 2} if before == 6 else {"succeeded": 3, "open": 2, "pending": 3}
    )
    control = json.loads(call(recent, "status", "paid", "--json").stdout)["control"]
    if before == 7:
        assert control["paused"]["reason"] == "kept by the upgrade"
        assert control["settings"]["rate"]["value"] == "100/s"
    else:
        assert (control["paused"], control["settings"]) == (None, {})
    assert call(recent, "export", "paid", "-f", "json").returncode == 0


@pytest.mark.crash
def test_a_recent_ledger_is_finished_and_nothing_is_paid_again(recent: Path) -> None:
    """The executions in progress ended long ago, and those in doubt are found by their key."""
    ended = call(recent, "run", "demo.yaml")
    assert ended.returncode == 0, ended.stderr
    assert counts(recent, "demo") == {"succeeded": 8}
    assert kickoffs_of_the_embedded_crew(recent) == 8
    crew = Crew(recent, "--execution-time", "20ms")
    paused = call(recent, "run", "paid.yaml", CREW_URL=crew.url)
    if paused.returncode == 3:  # the pause of schema 7
        assert crew.stats()["kickoffs"] == 0
        assert call(recent, "unpause", "paid").returncode == 0
        assert call(recent, "run", "paid.yaml", CREW_URL=crew.url).returncode == 1
    assert counts(recent, "paid") == {"succeeded": 10, "failed": 2}
    assert crew.stats()["kickoffs"] == 4
    crew.stop()
