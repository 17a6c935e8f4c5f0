"""Where a search for the ledger ends, which ledgers are trusted, and when two paths are one job file."""

import os
from pathlib import Path

import pytest

from batchcrew.app.ledger_location import (
    Owner,
    Search,
    compare,
    distrust,
    find_ledger,
    recorded_as,
    recorded_day,
    recorded_place,
)
from batchcrew.base.errors import UsageError
from batchcrew.ledger import RecordedJobFile

SOMEBODY = 54321


def ledger_in(folder: Path) -> Path:
    made = folder / "results" / "batchcrew.db"
    made.parent.mkdir(parents=True)
    made.touch()
    return made


@pytest.mark.parametrize(
    ("start", "folders"),
    [
        ("/home/u/a/b", ["/home/u/a/b", "/home/u/a"]),
        ("/home/u", ["/home/u"]),
        ("/srv/a", ["/srv/a", "/srv"]),
        ("/", ["/"]),
    ],
)
def test_the_search_ends_below_the_home_folder_and_the_root(start: str, folders: list[str]) -> None:
    search = Search(Path(start), Path("/home/u"))
    assert [str(folder) for folder in search.upward(Path(start))] == folders


def test_a_path_is_shown_relative_only_below_the_current_folder() -> None:
    search = Search(Path("/srv/a"), Path("/root"))
    assert search.shown(Path("/srv/a/results/x.db")) == Path("results/x.db")
    assert search.shown(Path("/srv/results/x.db")) == Path("/srv/results/x.db")


@pytest.mark.parametrize(("level", "mode"), [(0, 0o666), (1, 0o777), (2, 0o777)])
def test_a_ledger_that_everyone_can_write_is_not_trusted(tmp_path: Path, level: int, mode: int) -> None:
    ledger = ledger_in(tmp_path / "f")
    changed = [ledger, ledger.parent, ledger.parent.parent][level]
    changed.chmod(mode & ~0o002)
    assert distrust(ledger) is None
    changed.chmod(mode)
    assert distrust(ledger) is not None
    if level:
        changed.chmod(mode | 0o1000)
        assert distrust(ledger) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_ledger_of_another_user_is_not_trusted(tmp_path: Path, level: int) -> None:
    ledger = ledger_in(tmp_path / "f")
    os.chown([ledger, ledger.parent, ledger.parent.parent][level], SOMEBODY, SOMEBODY)
    assert distrust(ledger) is not None
    (tmp_path / "f" / "below").mkdir()
    assert find_ledger(Search(tmp_path / "f" / "below", Path("/root"))) is None
    assert find_ledger(Search(tmp_path / "f", Path("/root"))) == Path("results/batchcrew.db")


def test_the_current_folder_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError):
        Search.here()


def test_the_same_file_another_one_and_one_that_is_gone(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.touch()
    other.touch()
    recorded = recorded_as(one, ledger, None)
    assert compare(recorded, one, ledger) is Owner.SAME
    assert compare(recorded, other, ledger) is Owner.OTHER
    linked = tmp_path / "linked.csv"
    linked.symlink_to(one)
    assert compare(recorded, linked, ledger) is Owner.MOVED
    one.unlink()
    assert compare(recorded, other, ledger) is Owner.MOVED


def test_a_job_file_that_moved_with_its_ledger_is_found(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    for name in ("jan", "feb"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "l.csv").touch()
    before = RecordedJobFile("jan/l.csv", "/moved/away/jan/l.csv", "../jan/l.csv", "2026-01-02")
    assert compare(before, tmp_path / "jan" / "l.csv", ledger) is Owner.SAME
    assert compare(before, tmp_path / "feb" / "l.csv", ledger) is Owner.OTHER
    assert recorded_place(before, ledger) == tmp_path / "jan" / "l.csv"
    assert recorded_day(before, "b") == "2026-01-02"
    assert recorded_day(None, "b-2026-01-03") == "2026-01-03"
    assert recorded_day(None, "b") is None


@pytest.mark.parametrize("typed", ["l.csv", "../x/l.csv", "./a/../l.csv"])
def test_a_path_as_an_earlier_version_recorded_it_looks_like_no_other_file(tmp_path: Path, typed: str) -> None:
    given = tmp_path / "l.csv"
    given.touch()
    assert compare(RecordedJobFile(typed), given, ledger_in(tmp_path)) is Owner.SAME
    assert compare(RecordedJobFile(typed), given, tmp_path / "any.db") is Owner.SAME
