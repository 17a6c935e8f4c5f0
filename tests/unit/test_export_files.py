"""Where an export goes: a file that is replaced atomically, a device, a pipe, standard output."""

import asyncio
import io
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from batchcrew.base.errors import BatchcrewError, UsageError
from batchcrew.model.job import JobState
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.table import build_table


def result(row: dict[str, Any], output: str | None = None) -> ResultRow:
    return ResultRow(job_id="a", crew="default", row=row, state=JobState.SUCCEEDED, output=output)


async def stream(rows: Iterable[ResultRow]) -> AsyncIterator[ResultRow]:
    for row in rows:
        yield row


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


async def write(path: Path, rows: Iterable[ResultRow] = (), columns: Iterable[str] = ("a",)) -> int:
    return await export(stream(rows), build_table(list(columns)), format="csv", path=path, stdout=io.BytesIO())


async def test_many_chunks_are_written_without_blocking_the_event_loop(tmp_path: Path) -> None:
    rows = [result({"a": str(number)}, output="x" * 1000) for number in range(5000)]
    assert await write(tmp_path / "out.csv", rows) == 5000


async def test_a_file_is_replaced_atomically_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o644)
    seen: list[str] = []

    async def rows() -> AsyncIterator[ResultRow]:
        for number in range(3000):
            seen.append(await asyncio.to_thread(path.read_text))
            yield result({"a": str(number)})

    assert await export(rows(), build_table(["a"]), format="csv", path=path, stdout=io.BytesIO()) == 3000
    assert set(seen) == {"old"}
    assert len(path.read_text().splitlines()) == 3001
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["out.csv"]


async def test_an_error_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    async def rows() -> AsyncIterator[ResultRow]:
        for number in range(2000):
            yield result({"a": str(number)})
        raise RuntimeError("the ledger broke")

    with pytest.raises(RuntimeError, match="the ledger broke"):
        await export(rows(), build_table(["a"]), format="csv", path=path, stdout=io.BytesIO())
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["out.csv"]


async def test_a_cancelled_export_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    begun = asyncio.Event()

    async def rows() -> AsyncIterator[ResultRow]:
        for number in range(2000):
            yield result({"a": str(number)})
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(export(rows(), build_table(["a"]), format="csv", path=path, stdout=io.BytesIO()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["out.csv"]


async def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "out.csv"
    link.symlink_to(tmp_path / "there" / "real.csv")
    await write(link)
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.csv").read_text().startswith("a,")


async def test_a_device_is_written_to_and_not_replaced() -> None:
    null = Path(os.devnull)
    await write(null)
    assert await asyncio.to_thread(null.is_char_device)


async def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    await write(path, [result({"a": "1"})])
    reader.join()
    assert got[0].startswith(b"a,batchcrew_state")
    assert path.is_fifo()


def folder(tmp_path: Path) -> Path:
    return tmp_path


def in_a_missing_folder(tmp_path: Path) -> Path:
    return tmp_path / "missing" / "out.csv"


def under_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "out.csv"


@pytest.mark.parametrize(
    ("place", "message"),
    [(folder, "is a folder"), (in_a_missing_folder, "mkdir -p"), (under_a_file, "is not a folder")],
)
async def test_a_path_that_cannot_be_is_wrong_usage(
    tmp_path: Path, place: Callable[[Path], Path], message: str
) -> None:
    path = place(tmp_path)
    before = names_in(tmp_path)
    with pytest.raises(UsageError, match=message):
        await write(path)
    assert names_in(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_a_full_disk_is_reported_plainly() -> None:
    with pytest.raises(BatchcrewError, match="/dev/full cannot be written: No space left"):
        await write(Path("/dev/full"), [result({"a": "1"})])


async def test_standard_output_is_utf8_whatever_the_locale_says() -> None:
    below = io.BytesIO()
    out = io.TextIOWrapper(below, encoding="ascii", newline="\r\n")
    await export(stream([result({"a": "東京"})]), build_table(["a"]), format="csv", path=None, stdout=out)
    assert below.getvalue().decode().splitlines()[1].startswith("東京,succeeded")
    assert b"\r" not in below.getvalue()


async def test_text_streams_are_written_to_as_text() -> None:
    out = io.StringIO()
    await export(stream([result({"a": "東京"})]), build_table(["a"]), format="jsonl", path=None, stdout=out)
    assert json.loads(out.getvalue())["a"] == "東京"


async def test_a_terminal_is_shown_escapes_and_not_sent_them() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    await export(
        stream([result({"a": "\x1b[2J"}, output="\x9b")]), build_table(["a"]), format="csv", path=None, stdout=out
    )
    assert "\\x1b[2J" in out.getvalue()
    assert not {"\x1b", "\x9b"} & set(out.getvalue())


async def test_a_broken_pipe_is_raised_to_the_caller() -> None:
    class Broken(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await export(stream([]), build_table(["a"]), format="csv", path=None, stdout=Broken())
