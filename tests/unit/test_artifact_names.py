"""Where the files that tasks write are kept: names that are safe, and never another execution's."""

import json
from pathlib import Path

import pytest

from batchcrew.server.file_names import job_folder, safe_part
from batchcrew.server.worker.artifacts import Artifacts, safe_path

JOB = json.dumps(["trips", "tokyo"])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("report.md", "report.md"),
        ("reports/a b.md", "reports/a b.md"),
        ("/p/reports/a.md", "reports/a.md"),
        ("/etc/passwd", "etc/passwd"),
        ("../../etc/passwd", "etc/passwd"),
        ("reports/../../../x", "x"),
        ("//x", "x"),
        ("..", "output"),
        ("/", "output"),
        ("", "output"),
        (".ssh/id", "_ssh/id"),
        ("a\x00\n\x1b[2Jb", "a_[2Jb"),
        ("a\\b", "a_b"),
    ],
)
def test_paths_stay_in_their_folder(written: str, expected: str) -> None:
    assert str(safe_path(written, "/p")) == expected


def test_long_names_keep_their_suffix() -> None:
    assert safe_part("ü" * 300 + ".md").endswith("ü.md")
    assert len(safe_part("ü" * 300 + ".md").encode()) <= 150
    assert len(safe_part("x." + "y" * 300).encode()) <= 150


def test_names_of_jobs(tmp_path: Path) -> None:
    assert job_folder(tmp_path, JOB, "k") == tmp_path / "trips" / "tokyo"
    assert job_folder(tmp_path, None, "k-1") == tmp_path / "k-1"
    for job in ("../../x", "a/b", "..", "/etc", ".", "", "x" * 500, "a\nb"):
        folder = job_folder(tmp_path, json.dumps(["b", job]), "k")
        assert folder.parent == tmp_path / "b"
        assert folder.name not in {"", ".", ".."}
    assert job_folder(tmp_path, json.dumps(["b", "a/b"]), "k") != job_folder(tmp_path, json.dumps(["b", "a_b"]), "k")


def test_each_execution_has_its_folder(tmp_path: Path) -> None:
    """Also two of one job, such as an execution that timed out and still runs, and its retry."""
    first, second = (Artifacts(tmp_path / "a" / "tokyo", "/p") for _ in range(2))
    assert not (tmp_path / "a").exists()
    for artifacts, text in ((first, "one"), (second, "two"), (first, "one")):
        artifacts.path("report.md").write_text(text)
    assert first.files() == (str(tmp_path / "a" / "tokyo" / "report.md"),)
    assert second.files() == (str(tmp_path / "a" / "tokyo-2" / "report.md"),)
    assert [Path(file).read_text() for file in (*first.files(), *second.files())] == ["one", "two"]
    assert first.path("../report.md").name == "report-2.md"
    assert first.of("./report.md") == tmp_path / "a" / "tokyo" / "report.md"
    assert first.of("other.md") is None


def test_nothing_is_kept_without_a_folder() -> None:
    nothing = Artifacts(None, "/p")
    assert not nothing.kept
    with pytest.raises(OSError, match="no folder"):
        nothing.path("report.md")
