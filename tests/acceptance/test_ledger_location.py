"""Which ledger is used from which folder, whose a batch is, and hints that work the next morning."""

import contextlib
import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import JOB_FILE, TOKEN, Crew, call, write_trips

pytestmark = pytest.mark.crash  # starts many processes

LEDGER = Path("results") / "batchcrew.db"
TAKEN_OVER = "it now belongs to"
DATED = JOB_FILE.replace("\ncrew:", "\nbatch: night-{{date}}\ncrew:")


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path, "--execution-time", "1ms")
    yield made
    made.stop()


def make(folder: Path, crew: Crew, number: int = 3, text: str = JOB_FILE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_trips(folder, number)
    (folder / "l.yaml").write_text(text.format(url=crew.url), encoding="utf-8")
    return folder


def kickoffs(crew: Crew) -> int:
    return int(crew.stats()["kickoffs"])


def ledgers(folder: Path) -> set[str]:
    return {str(found.relative_to(folder)) for found in folder.rglob("batchcrew.db")}


def run(folder: Path, *words: str, code: int = 0, **variables: str) -> str:
    ended = call(folder, "run", *words, **variables)
    assert ended.returncode == code, ended.stderr
    return ended.stderr


def test_from_another_folder_nothing_is_paid_again(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "a", crew)
    (tmp_path / "b").mkdir()
    run(tmp_path / "a", "l.yaml")
    for folder, words in (
        (tmp_path / "b", ["../a/l.yaml"]),
        (tmp_path, ["a/l.yaml"]),
        (Path("/"), [str(tmp_path / "a" / "l.yaml")]),
    ):
        said = run(folder, *words)
        assert "3 of 3" in said
    assert kickoffs(crew) == 3
    assert ledgers(tmp_path) == {"a/results/batchcrew.db"}


def test_from_below_nothing_is_paid_again_and_the_ledger_is_named_first(tmp_path: Path, crew: Crew) -> None:
    below = make(tmp_path / "data", crew)
    run(tmp_path, "data/l.yaml")
    said = run(below, "l.yaml")
    assert str(tmp_path / LEDGER) in said.splitlines()[0]
    assert kickoffs(crew) == 3
    assert ledgers(tmp_path) == {str(LEDGER)}
    status = call(below, "status")
    assert (status.returncode, status.stderr) == (0, f"ledger: {tmp_path / LEDGER}\n")
    assert str(tmp_path / LEDGER) in call(below, "check", "l.yaml").stdout
    assert call(below, "check", "l.yaml", "--json").returncode == 0


def test_a_second_file_of_one_name_changes_nothing(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "jan", crew)
    make(tmp_path / "feb", crew)
    run(tmp_path, "jan/l.yaml", "--limit", "2", code=3)
    for command in (("run", "feb/l.yaml"), ("tick", "feb/l.yaml"), ("check", "feb/l.yaml")):
        ended = call(tmp_path, *command)
        assert ended.returncode == 2
        for named in (str(tmp_path / "jan" / "l.yaml"), str(tmp_path / "feb" / "l.yaml"), "--take-over", "batch:"):
            assert named in ended.stderr
    assert kickoffs(crew) == 2
    run(tmp_path, "jan/l.yaml")
    assert kickoffs(crew) == 3
    said = run(tmp_path, "feb/l.yaml", "--take-over")
    assert str(tmp_path / "jan" / "l.yaml") in said
    assert kickoffs(crew) == 3
    run(tmp_path, "jan/l.yaml", code=2)


def test_a_folder_can_be_moved_or_copied_with_its_ledger(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "old", crew)
    run(tmp_path / "old", "l.yaml")
    shutil.copytree(tmp_path / "old", tmp_path / "copy")
    (tmp_path / "old").rename(tmp_path / "new")
    for folder in ("new", "copy"):
        said = run(tmp_path / folder, "l.yaml")
        assert TAKEN_OVER not in said
    assert kickoffs(crew) == 3


def test_a_link_to_the_folder_or_to_the_file_pays_nothing(tmp_path: Path, crew: Crew) -> None:
    real = make(tmp_path / "real", crew)
    run(real, "l.yaml")
    (tmp_path / "mount").symlink_to(real)
    assert TAKEN_OVER not in run(tmp_path, "mount/l.yaml")
    (real / "linked").mkdir()
    (real / "linked" / "l.yaml").symlink_to(real / "l.yaml")
    (real / "linked" / "trips.csv").symlink_to(real / "trips.csv")
    assert TAKEN_OVER in run(real, "linked/l.yaml", "--allow-outside")
    assert kickoffs(crew) == 3


def test_a_file_that_was_moved_takes_its_batch_over(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "jan", crew)
    run(tmp_path, "jan/l.yaml")
    (tmp_path / "jan").rename(tmp_path / "feb")
    assert TAKEN_OVER in run(tmp_path, "feb/l.yaml")
    assert TAKEN_OVER not in run(tmp_path, "feb/l.yaml")
    assert kickoffs(crew) == 3


def test_two_ledgers_that_know_the_batch_are_named(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "data", crew)
    run(tmp_path, "data/l.yaml")
    (tmp_path / "data" / "results").mkdir()
    shutil.copy(tmp_path / LEDGER, tmp_path / "data" / LEDGER)
    said = run(tmp_path, "data/l.yaml", code=2)
    assert "results/batchcrew.db" in said
    assert "data/results/batchcrew.db" in said
    run(tmp_path, "data/l.yaml", "--ledger", "results/batchcrew.db")
    assert kickoffs(crew) == 3


def test_a_named_ledger_wins(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "a", crew, text=JOB_FILE.replace("\ncrew:", "\nledger: ../kept/ours.db\ncrew:"))
    (tmp_path / "b").mkdir()
    run(tmp_path / "b", "../a/l.yaml")
    run(tmp_path / "a", "l.yaml")
    assert kickoffs(crew) == 3
    assert (tmp_path / "kept" / "ours.db").exists()
    assert ledgers(tmp_path) == set()
    run(tmp_path / "a", "l.yaml", "--ledger", "other.db")
    run(tmp_path / "a", "l.yaml", BATCHCREW_LEDGER="other.db")
    assert kickoffs(crew) == 6


def test_nothing_is_created_in_the_home_folder_itself(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path, crew)
    assert "--ledger" in run(tmp_path, "l.yaml", code=2, HOME=str(tmp_path))
    make(tmp_path / "in", crew)
    run(tmp_path, "in/l.yaml", HOME=str(tmp_path))
    assert ledgers(tmp_path) == {"in/results/batchcrew.db"}
    assert kickoffs(crew) == 3


def test_a_ledger_above_that_everyone_can_write_is_not_used(tmp_path: Path, crew: Crew) -> None:
    data = make(tmp_path / "data", crew)
    run(tmp_path, "data/l.yaml")
    (tmp_path / "results").chmod(0o777)
    said = run(tmp_path, "data/l.yaml", code=2)
    assert "writable by everyone" in said
    assert kickoffs(crew) == 3
    assert call(data, "status").returncode == 2
    said = run(data, "l.yaml", "--limit", "1", code=3)  # a new batch: the warning comes before the first kickoff
    assert said.index("is skipped") < said.index("start: ")


def test_a_damaged_ledger_does_not_lead_to_paying_again(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "data", crew)
    (tmp_path / "results").mkdir()
    (tmp_path / LEDGER).write_text("this is no database, and long enough to be looked at as one" * 20)
    run(tmp_path, "data/l.yaml", code=70)  # it would be used
    (tmp_path / "data" / "results").mkdir()
    (tmp_path / "data" / LEDGER).touch()
    assert "--ledger" in run(tmp_path, "data/l.yaml", code=2)  # another one would be
    assert kickoffs(crew) == 0


def hint(said: str, purpose: str) -> list[str]:
    """The words of a hinted command, without the program."""
    match = re.search(rf"^  {purpose}: +batchcrew (.*)$", said, re.MULTILINE)
    assert match is not None, said
    return shlex.split(match[1])


def test_a_hint_of_yesterday_continues_yesterdays_batch(tmp_path: Path, crew: Crew) -> None:
    make(tmp_path / "a b", crew, number=4, text=DATED)
    token = tmp_path / "the token"
    token.write_text(TOKEN, encoding="utf-8")
    options = ("--token-file", str(token), "--encoding", "utf-8", "--delimiter", ",", "--allow-outside")
    first = run(tmp_path, "a b/l.yaml", "--limit", "2", "--date", "2026-01-02", *options, code=3)
    words = hint(first, "resume")
    for word in ("--date", "2026-01-02", "--allow-outside", "--encoding", "--delimiter", str(token)):
        assert word in words
    assert call(tmp_path, *words).returncode == 0
    assert kickoffs(crew) == 4
    today = run(tmp_path, "a b/l.yaml", "--limit", "1", code=3)
    assert "--date" in hint(today, "resume")
    assert kickoffs(crew) == 5


def test_the_printed_command_finishes_yesterdays_batch_from_another_folder(tmp_path: Path, crew: Crew) -> None:
    below = make(tmp_path / "data", crew, number=4, text=DATED)
    run(tmp_path, "data/l.yaml", "--limit", "2", "--date", "2026-01-02", code=3)
    run(tmp_path, "data/l.yaml")
    said = run(below, "l.yaml")  # the file has not changed since it was ingested from the other folder
    match = re.search(r"to finish it: batchcrew (.*)$", said, re.MULTILINE)
    assert match is not None, said
    assert call(below, *shlex.split(match[1])).returncode == 0
    assert kickoffs(crew) == 8


def test_batch_reaches_yesterdays_batch_from_any_folder(tmp_path: Path, crew: Crew) -> None:
    below = make(tmp_path / "data", crew, number=4, text=DATED)
    run(tmp_path, "data/l.yaml", "--limit", "2", "--date", "2026-01-02", code=3)
    name = ("--batch", "night-2026-01-02")
    run(below, *name)
    assert kickoffs(crew) == 4
    assert call(below, "check", *name, "--offline").returncode == 0
    assert call(below, "tick", "l.yaml", *name).returncode == 0
    assert call(below, "status", *name).returncode == 0
    assert len(json.loads(call(below, "export", *name, "-f", "json").stdout)) == 4
    assert call(below, "retry", *name, "trip-0").returncode == 0
    run(below, *name)
    assert kickoffs(crew) == 5
    assert call(below, "run").returncode == 2
    assert call(below, "run", "--batch", "other").returncode == 2


def test_the_argument_batch_wins_over_the_variable_of_the_option(tmp_path: Path, crew: Crew) -> None:
    folder = make(tmp_path, crew)
    run(folder, "l.yaml")
    for command in (("status", "l"), ("export", "l"), ("retry", "l", "trip-0"), ("runs", "l"), ("show", "l", "trip-0")):
        ended = call(folder, *command, BATCHCREW_BATCH="another")
        assert ended.returncode == 0, ended.stderr
    for name in ("status", "export", "retry"):
        assert call(folder, name, BATCHCREW_BATCH="l").returncode == 0
        assert "'another'" in call(folder, name, BATCHCREW_BATCH="another").stderr
        assert call(folder, name, "--batch", "l", BATCHCREW_BATCH="another").returncode == 0
    for name in ("status", "export"):
        both = call(folder, name, "l", "--batch", "l")
        assert (both.returncode, "--batch" in both.stderr) == (2, True)


OLD = Path(__file__).parents[1] / "fixtures" / "ledger_v2"


def executions(folder: Path) -> int:
    """Kickoffs that the embedded crew of a folder has accepted."""
    with contextlib.closing(sqlite3.connect(folder / "results" / "embedded-crew.db")) as connection, connection:
        return int(connection.execute("SELECT count(*) FROM executions").fetchone()[0])


@pytest.mark.parametrize(
    "folder",
    ["elsewhere", pytest.param(".", marks=pytest.mark.crash), pytest.param("old/below", marks=pytest.mark.crash)],
)
def test_an_old_ledger_is_found_from_another_folder_and_nothing_is_paid(tmp_path: Path, folder: str) -> None:
    old = shutil.copytree(OLD, tmp_path / "old")
    here = tmp_path / folder
    here.mkdir(exist_ok=True)
    assert executions(old) == 6
    for _ in range(2):
        said = run(here, str(old / "demo.yaml"))
        assert TAKEN_OVER not in said
        assert executions(old) == 8  # the two jobs that were pending
    assert ledgers(tmp_path) == {"old/results/batchcrew.db"}


def test_an_old_ledger_has_the_other_file_of_its_default_folder(tmp_path: Path, crew: Crew) -> None:
    old = shutil.copytree(OLD, tmp_path / "old")
    make(old / "feb", crew)
    (old / "feb" / "l.yaml").rename(old / "feb" / "demo.yaml")
    assert "--take-over" in run(old, "feb/demo.yaml", code=2)
    assert kickoffs(crew) == 0
