"""The target of an export: a file that is replaced atomically, or a stream. All calls block: use a thread."""

import contextlib
import errno
import io
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TextIO, cast

from batchcrew.base.disk import sync_folder
from batchcrew.base.errors import OutputError, UsageError
from batchcrew.base.text import clean_block, clean_text
from batchcrew.reports.commands import quoted


class Target(Protocol):
    """Open, write, finish; and close whatever happens, from another thread too."""

    def open(self) -> None:
        """Prepare to write. Raises UsageError if the target cannot be written."""
        ...

    def write(self, data: str | bytes) -> None:
        """Write text as UTF-8, or bytes."""
        ...

    def temporary_folder(self, closing: Callable[[], None]) -> Path:
        """Return a new private folder for temporary files; `close` removes it, after a call of `closing`."""
        ...

    def finish(self) -> None:
        """Publish the output, after everything is written."""
        ...

    def close(self) -> None:
        """Release the target. An unfinished file is removed."""
        ...


class _TemporaryFolder:
    """The private folder of a target that needs one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._removed = False
        self._made: tuple[Path, Callable[[], None]] | None = None

    def make(self, parent: Path | None, closing: Callable[[], None], *, prefix: str = "batchcrew.") -> Path:
        """Create the folder, readable by its owner only.

        Args:
            parent: None: the system's folder for temporary files.
            closing: ends the use of the folder, also by another thread.
        """
        with self._lock:
            if self._removed:
                raise OutputError("the output is closed")
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix, suffix=".part"))
            self._made = folder, closing
            return folder

    def remove(self) -> None:
        with self._lock:
            self._removed = True
            made, self._made = self._made, None
        if made is not None:
            folder, closing = made
            closing()
            shutil.rmtree(folder, ignore_errors=True)


class StreamTarget:
    """An open stream that this class does not close. On a terminal, escapes are shown and not sent."""

    def __init__(self, stream: BinaryIO | TextIO) -> None:
        self._stream = stream
        self._terminal = False
        self._folder = _TemporaryFolder()

    def open(self) -> None:
        self._terminal = self._stream.isatty()

    def write(self, data: str | bytes) -> None:
        if self._terminal and isinstance(data, str):
            data = clean_block(data)
        if isinstance(self._stream, io.TextIOWrapper):
            # write bytes: UTF-8 in any locale, and no conversion of newlines
            self._stream.flush()
            self._stream.buffer.write(_encoded(data))
        elif isinstance(self._stream, io.TextIOBase):
            self._stream.write(data if isinstance(data, str) else data.decode())
        else:
            self._stream.write(_encoded(data))  # type: ignore[arg-type]  # io's classes and typing's are not kin

    def temporary_folder(self, closing: Callable[[], None]) -> Path:
        try:
            return self._folder.make(None, closing)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"no temporary folder: {reason}; set TMPDIR to a folder that can be written") from error

    def finish(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._folder.remove()


class _Null(io.BufferedIOBase):
    def write(self, data: object, /) -> int:
        return len(data) if isinstance(data, bytes) else 0


def null_stream() -> BinaryIO:
    """Return a stream that drops what is written to it: it shows whether an export can be written."""
    return cast("BinaryIO", _Null())


class FileTarget:
    """A file that is replaced atomically: written next to its place, synced, then moved over the old one.

    It is made readable by its owner only, whatever the old file was. A device or a pipe is written to directly. A link
    is followed. Several threads may call its methods at once (a cancelled export closes during a write), so a lock
    allows one at a time.
    """

    def __init__(self, path: Path) -> None:
        self._asked = path
        self._path = path
        self._file: io.BufferedWriter | None = None
        self._temporary: Path | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._folder = _TemporaryFolder()

    def open(self) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                self._open()
            except OSError as error:
                raise UsageError(
                    why_not_written(self._asked, self._path.parent, error, example="results.csv")
                ) from error

    def _open(self) -> None:
        try:
            mode = self._asked.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            self._file = self._asked.open("wb")
            return
        self._path = Path(os.path.realpath(self._asked))
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name[:40]}.", suffix=".part")
        self._temporary = Path(name)
        self._file = os.fdopen(descriptor, "wb")

    def write(self, data: str | bytes) -> None:
        with self._lock, self._translated():
            if self._file is not None:
                self._file.write(_encoded(data))

    def temporary_folder(self, closing: Callable[[], None]) -> Path:
        """Return a new private folder next to the file, where there is space for it."""
        with self._translated():
            if self._temporary is None:
                return self._folder.make(None, closing)
            return self._folder.make(self._path.parent, closing, prefix=f".{self._path.name[:40]}.")

    def finish(self) -> None:
        with self._lock, self._translated():
            if self._file is None:
                return
            self._file.flush()
            if self._temporary is None:
                return
            os.fsync(self._file.fileno())
            self._temporary.replace(self._path)
            self._temporary = None
            self._sync_folder()

    def _sync_folder(self) -> None:
        # The results are in place and safe on disk; a file system that cannot sync a folder takes nothing back.
        with contextlib.suppress(OSError):
            sync_folder(self._path.parent)

    def close(self) -> None:
        self._folder.remove()  # without the lock: a thread that writes may have to end first
        with self._lock, self._translated():
            self._closed = True
            file, self._file = self._file, None
            temporary, self._temporary = self._temporary, None
            try:
                if temporary is not None:
                    temporary.unlink(missing_ok=True)
            finally:
                if file is not None:
                    _close(file, unwanted=temporary is not None)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = "; the previous file is unchanged" if self._temporary is not None else ""
            path = clean_text(str(self._asked))
            raise OutputError(f"{path} cannot be written: {error.strerror or error}{kept}") from error


def why_not_written(path: Path, folder: Path, error: OSError, *, example: str) -> str:
    """Return why the file `path` cannot be written in its `folder`, and what to do.

    Args:
        example: the name of such a file.
    """
    name, parent = clean_text(str(path)), clean_text(str(folder))
    if isinstance(error, IsADirectoryError):
        inside = quoted(str(path / example))
        return f"{name} is a folder; name a file in it, such as {inside}"
    if isinstance(error, FileNotFoundError):
        return f"folder not found: {parent}; create it first: mkdir -p {quoted(str(folder))}"
    if isinstance(error, NotADirectoryError):
        return f"{name} cannot be written: {parent} is not a folder"
    if isinstance(error, PermissionError):
        return f"{name} cannot be written: no permission to write in {parent}"
    if error.errno == errno.EROFS:
        return f"{name} cannot be written: {parent} is on a read-only file system"
    return f"{name} cannot be written: {error.strerror or error}"


def _close(file: io.BufferedWriter, *, unwanted: bool) -> None:
    """Close; an error in writing an unwanted file (a full disk) is ignored."""
    try:
        file.close()
    except OSError:
        if not unwanted:
            raise


def _encoded(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
