"""Open the zip file of a workbook, and its parts, within limits: a small file may unpack to gigabytes."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

MAX_SHEET = 4 * 2**30
"""Maximum size of an unpacked sheet, and of the unpacked texts that sheets share, in bytes."""
MAX_PART = 32 * 2**20
"""Maximum size of any other unpacked part, in bytes."""
MAX_RATIO = 250
"""Maximum ratio of unpacked to packed size of a part larger than MAX_PART; Excel's sheets reach 50."""
_OLE = b"\xd0\xcf\x11\xe0"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ENCRYPTED_PART = 1
_OLE_DIRECTORY = 2**20
"""Number of bytes that are searched for the name of an encrypted workbook."""

OLD = "this is an old Excel workbook (.xls); save it as .xlsx"
PROTECTED = "the workbook is protected by a password; save it without one (in Excel: File, Info, Protect Workbook)"
NO_WORKBOOK = "this is not an Excel workbook; if it is text, rename it to .csv"
BINARY = "this is a binary workbook (.xlsb); save it as .xlsx"
OTHER_ZIP = "this is a zip file, but not an Excel workbook; save it as .xlsx"
DAMAGED = "the workbook is damaged or incomplete ({reason}): another program may still be writing it; save it again"


class WorkbookError(ValueError):
    """A workbook cannot be read; the message is one sentence."""


class Package:
    """The parts of a workbook by their names."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            WorkbookError: it is not a zip file.
            OSError: it cannot be read.
        """
        refuse_others(path)
        try:
            self._zip = ZipFile(path)
        except OSError:
            raise
        except Exception as error:  # a damaged file makes zipfile raise several kinds
            raise WorkbookError(DAMAGED.format(reason=str(error).rstrip("."))) from error
        self._names = {_key(info.filename): info for info in self._zip.infolist()}

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._names

    @contextmanager
    def part(self, name: str, *, most: int = MAX_PART) -> Iterator[IO[bytes]]:
        """Open a part to read it as a stream.

        Args:
            most: maximum size of the unpacked part, in bytes.

        Raises:
            WorkbookError: the part is missing, too large, or damaged.
        """
        info = self._names.get(_key(name))
        if info is None:
            raise WorkbookError(DAMAGED.format(reason=f"{name} is missing"))
        _require_small(info, most)
        with translated(), self._zip.open(info) as stream:
            yield stream


def refuse_others(path: Path) -> None:
    """Require that the file begins like a workbook.

    Raises:
        WorkbookError: it does not; the message names what it is.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
        if head == _OLE:
            raise WorkbookError(PROTECTED if _ENCRYPTED in stream.read(_OLE_DIRECTORY) else OLD)
    if head and not head.startswith(b"PK"):
        raise WorkbookError(NO_WORKBOOK)


@contextmanager
def translated() -> Iterator[None]:
    """Translate the exceptions of the zip module to WorkbookError."""
    try:
        yield
    except (BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise WorkbookError(DAMAGED.format(reason=str(error).rstrip(".") or "it ends too early")) from error


def _require_small(info: ZipInfo, most: int) -> None:
    if info.flag_bits & _ENCRYPTED_PART:
        raise WorkbookError(PROTECTED)
    if info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise WorkbookError(DAMAGED.format(reason=f"{info.filename} is compressed in another way than Excel does"))
    # zipfile reads no further than this size, whatever the part really unpacks to
    size, packed = info.file_size, max(1, info.compress_size)
    if size > most:
        raise WorkbookError(f"{info.filename} unpacks to {_mib(size)} (at most {_mib(most)} are allowed)")
    if size > MAX_PART and size > MAX_RATIO * packed:
        raise WorkbookError(
            f"{info.filename} unpacks to {size // packed:,} times its size (at most {MAX_RATIO} times are allowed)"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _key(name: str) -> str:
    """Return a part's name as it is compared: in any case, and without a slash at its beginning."""
    return name.replace("\\", "/").lstrip("/").casefold()
