"""The texts that the cells of a workbook share. They are kept on disk: a million texts take 8 MB of memory."""

import os
import tempfile
from array import array
from functools import lru_cache
from typing import IO

from batchcrew.base.xlsx.package import DAMAGED, WorkbookError
from batchcrew.base.xlsx.xml_stream import Attributes, LocalNames, XmlStream

MAX_CELL = 16 * 2**20
"""Maximum number of characters of a cell; Excel itself allows 32,767."""
_MOST = 25_000_000
"""Maximum number of texts."""
_CACHED = 4096


class SharedStrings:
    """The texts by their number. They are parsed as far as they are needed: cells use them in about this order."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        """Prepare to read.

        Args:
            stream: the part; None: the workbook has none.
        """
        self._local = LocalNames()
        self._xml = None if stream is None else XmlStream(stream, start=self._start, end=self._end, text=self._add)
        self._ends = array("Q", [0])
        self._parts: list[str] = []
        self._size = 0
        self._collecting = False
        self._phonetic = False
        self._pending: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.get = lru_cache(_CACHED)(self._get)

    def close(self) -> None:
        """Remove the temporary file."""
        self.get.cache_clear()
        if self._file is not None:
            self._file.close()

    def _get(self, number: int) -> str:
        """Return a text.

        Raises:
            WorkbookError: there is none with this number.
        """
        while number + 1 >= len(self._ends):
            more = self._xml is not None and self._xml.feed()
            self._write()
            if not more and number + 1 >= len(self._ends):
                raise WorkbookError(DAMAGED.format(reason=f"the shared text {number} is missing"))
        start, end = self._ends[number], self._ends[number + 1]
        if start == end:
            return ""
        assert self._file is not None  # noqa: S101 - a text that is not empty was written
        return os.pread(self._file.fileno(), end - start, start).decode("utf-8", "surrogatepass")

    def _write(self) -> None:
        if not self._pending:
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="batchcrew-", buffering=0)  # noqa: SIM115 - see close
        view = memoryview(b"".join(self._pending))
        while view:
            view = view[self._file.write(view) :]
        self._pending.clear()

    def _start(self, name: str, attributes: Attributes) -> None:
        del attributes
        local = self._local[name]
        if local == "t":
            self._collecting = not self._phonetic
        elif local == "rPh":
            self._phonetic = True
        elif local == "si":
            self._parts.clear()
            self._size = 0

    def _end(self, name: str) -> None:
        local = self._local[name]
        if local == "t":
            self._collecting = False
        elif local == "rPh":
            self._phonetic = False
        elif local == "si":
            if len(self._ends) > _MOST:
                raise WorkbookError(f"the workbook has more than {_MOST:,} texts")
            text = "".join(self._parts).encode("utf-8", "surrogatepass")
            self._pending.append(text)
            self._ends.append(self._ends[-1] + len(text))

    def _add(self, text: str) -> None:
        if self._collecting:
            self._size += len(text)
            if self._size > MAX_CELL:
                raise WorkbookError(f"a cell is longer than {MAX_CELL:,} characters")
            self._parts.append(text)
