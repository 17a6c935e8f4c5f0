"""Write kickoff ids that the ledger cannot record to a file next to it that never has to grow.

A `kickoff_id` is paid for when it arrives. Where the disk is full, or a quota or a file size limit is reached, the
ledger cannot record it; without a record the next run would kick the job off again. So a run reserves a small file
before its first kickoff and writes such ids to it, and the next run, tick or recheck reads it before anything else.

The file, version 1: a header line, then one record a line, then NUL bytes to the end. A record is the CRC-32 of its
JSON in 8 hexadecimal digits, a space, and the JSON `{"attempt", "kickoff_id", "at"}` (`at` is UTC ISO-8601 text).
Everything here blocks: call it in a thread. One run at a time uses the file: the one that holds the batch's lock.
"""

import contextlib
import hashlib
import json
import os
import threading
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from batchcrew.base.disk import sync_folder
from batchcrew.base.errors import LedgerError
from batchcrew.base.sqlite_files import companion

HEADER = b"batchcrew-spill 1\n"
LEAST_BYTES = 64 * 1024
BYTES_PER_KICKOFF = 512
"""Space for each kickoff without an answer; an id of 1,000 characters needs more, most need 120 bytes."""


@dataclass(frozen=True, slots=True)
class SpilledKickoff:
    """A kickoff_id that the ledger could not record."""

    attempt: str
    kickoff_id: str
    at: str
    """When the crew's answer arrived: UTC text."""


def spill_path(ledger: Path, batch: str) -> Path:
    """Return the spill file of a batch, next to its ledger (for a ledger behind a link: next to its target)."""
    return companion(ledger, f".{hashlib.sha256(batch.encode()).hexdigest()[:16]}.spill")


class SpillFile:
    """The reserved file of one run.

    Args:
        ledger: the ledger's path.
        batch: the batch that the run holds.
    """

    def __init__(self, ledger: Path, batch: str) -> None:
        self.path = spill_path(ledger, batch)
        self._descriptor: int | None = None
        self._end = 0
        self._size = 0
        self._lock = threading.Lock()

    def reserve(self, kickoffs: int) -> None:
        """Create the file and write it to the disk.

        `Ledger.open_run` has read and removed the file of an earlier run by then.

        Args:
            kickoffs: the number of kickoffs that fit into the file.

        Raises:
            LedgerError: the disk has no space for it.
        """
        self._size = max(LEAST_BYTES, len(HEADER) + kickoffs * BYTES_PER_KICKOFF)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._descriptor = os.open(self.path, flags, 0o600)
            # written, not only allocated: a file with holes has to grow when they are filled
            _write_all(self._descriptor, HEADER + bytes(self._size - len(HEADER)), 0)
            os.fsync(self._descriptor)
            sync_folder(self.path.parent)
        except OSError as error:
            self.close()
            raise LedgerError(
                f"{self.path} cannot be reserved: {error.strerror} (it keeps kickoff ids when the ledger cannot);"
                " free up space, or check the folder's owner, and run the same command again"
            ) from error
        self._end = len(HEADER)

    def grow(self, kickoffs: int) -> None:
        """Make the file as large as this many kickoffs need.

        Raises:
            LedgerError: the disk has no space for it; the file is as it was.
        """
        size = len(HEADER) + kickoffs * BYTES_PER_KICKOFF
        with self._lock:
            if self._descriptor is None or size <= self._size:
                return
            try:
                _write_all(self._descriptor, bytes(size - self._size), self._size)
                os.fsync(self._descriptor)
            except OSError as error:
                raise LedgerError(f"{self.path} cannot be extended: {error.strerror}") from error
            self._size = size

    def add(self, kickoff: SpilledKickoff) -> bool:
        """Write one kickoff and sync it; return False if the file is full, was never reserved, or cannot be written."""
        record = _record(kickoff)
        with self._lock:  # several threads may add a kickoff at once
            if self._descriptor is None or self._end + len(record) > self._size:
                return False
            try:
                _write_all(self._descriptor, record, self._end)
                os.fsync(self._descriptor)
            except OSError:
                return False
            self._end += len(record)
            return True

    def close(self) -> None:
        """Close the file; remove it if no kickoff was written to it."""
        if self._descriptor is None:
            return
        os.close(self._descriptor)
        self._descriptor = None
        if self._end <= len(HEADER):
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def read_spilled(path: Path) -> list[SpilledKickoff]:
    """Read the kickoffs that an earlier run spilled, in the order of their answers; none if there is no file.

    A record that was being written when the machine died is ignored.

    Raises:
        LedgerError: the file cannot be read, or is of a later version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LedgerError(
            f"{path}: {error.strerror}: it holds kickoff ids that are paid for; make it readable"
        ) from error
    if not data.strip(b"\0"):
        return []  # the run died while it reserved the file
    if not data.startswith(HEADER):
        if HEADER.startswith(data.rstrip(b"\0")):
            return []
        raise LedgerError(
            f"{path} was written by a later batchcrew (it begins with {data[:20]!r}): update batchcrew,"
            " or move the file away and keep it"
        )
    found = (_parsed(line) for line in data[len(HEADER) :].rstrip(b"\0").split(b"\n"))
    return [kickoff for kickoff in found if kickoff is not None]


def _record(kickoff: SpilledKickoff) -> bytes:
    text = json.dumps(asdict(kickoff)).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> SpilledKickoff | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        return SpilledKickoff(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
