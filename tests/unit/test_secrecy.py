"""Files with secrets that every user of the machine can read are reported, once each."""

import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchcrew.base.secrecy import exposed
from batchcrew.cli import batchcrew
from batchcrew.jobfile import JobFileOptions, load_jobfile

URL = "https://crews.example.com"
WITH_TOKEN = f"crews: {{a: {{url: '{URL}', token: abcdefgh}}, b: {{url: '{URL}', token: ijklmnop}}}}\n"
WITH_HEADER = f"crew: {{url: '{URL}', token: '${{T}}', headers: {{X-Api-Key: abcdefgh}}}}\n"
WITHOUT = f"crew: {{url: '{URL}', token: '${{T}}'}}\n"
JOBS = "jobs: [{id: x, crew: a, inputs: {y: 1}}]\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own folders are private."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize(
    ("file", "entered", "reported"),
    [(0o644, 0o755, True), (0o604, 0o711, True), (0o640, 0o755, False), (0o600, 0o755, False), (0o644, 0o700, False)],
)
def test_a_file_is_reported_if_every_user_can_read_it(folder: Path, file: int, entered: int, reported: bool) -> None:
    inner = folder / "inner"
    inner.mkdir()
    path = inner / "my token"
    path.touch()
    path.chmod(file)
    inner.chmod(entered)
    warning = exposed(path, "the token")
    assert (warning is not None) == reported
    assert warning is None or f"`chmod 600 '{path}'`" in warning
    assert exposed(inner / "missing", "the token") is None


def warned_of(folder: Path, text: str) -> list[str]:
    """Return the names of the files that are reported for a job file with this text."""
    path = folder / "jobs.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    options = JobFileOptions(token_file=folder / "token")
    jobfile = load_jobfile(path, environ={"T": "t"}, today=date(2026, 1, 1), options=options)
    return sorted(Path(each.partition(": ")[0]).name for each in jobfile.warnings if "chmod 600" in each)


def test_each_file_with_a_secret_is_reported_once(folder: Path) -> None:
    for name in (".env", "token"):
        (folder / name).write_text("A=1\n", encoding="utf-8")
        (folder / name).chmod(0o644)
    jobs = JOBS.replace("crew: a, ", "")
    assert warned_of(folder, WITH_TOKEN + JOBS) == [".env", "jobs.yaml", "token"]
    assert warned_of(folder, WITH_HEADER + jobs) == [".env", "jobs.yaml", "token"]
    (folder / "token").chmod(0o600)
    assert warned_of(folder, WITHOUT + jobs) == [".env"]
    (folder / ".env").unlink()
    assert warned_of(folder, WITHOUT + jobs) == []


def test_serve_reports_its_token_file(folder: Path) -> None:
    token = folder / "token"
    token.write_text("", encoding="utf-8")  # so that it does not start
    token.chmod(0o644)
    for mode, number in ((0o644, 1), (0o600, 0)):
        token.chmod(mode)
        assert CliRunner().invoke(batchcrew, ["serve", "--token-file", str(token)]).stderr.count("chmod 600") == number
