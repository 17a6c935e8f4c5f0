"""Columns of the table of all jobs, as the compressed blocks that the page's script reads.

A column is collected a chunk of rows at a time in temporary files, so memory does not grow with the batch. Only when
it is complete is its encoding known:

| kind | bytes before gzip, for n rows |
|---|---|
| `dictionary` | n codes of `width` bytes: positions in `values`, which are sorted, by number if all are numbers |
| `number` | n values of `width` bytes: an integer, plus one; 0 is missing |
| `text` | n lengths of two bytes, with `front` also n of one byte, then the UTF-8 texts one after another |

Numbers are in planes: the lowest bytes of all values, then the next ones …, because similar bytes compress better next
to each other. With `delta`, a value is the difference from the one before, modulo 2**(8 * width). With `front`, a text
is only what follows the bytes that it shares with the one before; the numbers of one byte are how many those are. Both
are used where a sample becomes smaller. `numeric` texts are sorted as numbers.
"""

import contextlib
import re
import sys
import tempfile
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any, Protocol

LONGEST_TEXT = 200
"""Characters of a value in the table; a row that is opened shows all of it."""
MOST_VALUES = 1000
"""Distinct values of a dictionary."""
GREATEST = 2**32 - 2
_NUMBER = re.compile(rb"-?\d{1,15}(?:\.\d{1,9})?|")
_SAMPLE_ROWS = 20_000
_IN_MEMORY = 2**18
_READ_BYTES = 2**20


class Spools(contextlib.ExitStack):
    """The temporary files of a report: the end of this context closes all of them."""

    def new(self) -> IO[bytes]:
        """Return a new file, which is in memory while it is small."""
        return self.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A complete column."""

    facts: Mapping[str, Any]
    """The properties that the script needs to decode it."""
    data: IO[bytes]
    """Its gzip, from the beginning."""
    size: int
    """Bytes of its gzip."""
    decoded: int
    """Bytes of the browser's memory that it occupies."""


class Column(Protocol):
    """Collects the values of a column."""

    def finish(self) -> Encoded:
        """Return the column, after its last row."""
        ...


class NumberColumn:
    """Integers that are not negative."""

    def __init__(self, spools: Spools) -> None:
        self._spools = spools
        self._spool = spools.new()
        self.greatest = 0
        """The greatest number so far, plus one; 0: all are missing."""

    def add(self, values: Sequence[int | None]) -> None:
        """Add the values of further rows; None is missing."""
        codes = array("I", [0 if one is None else min(max(one, 0), GREATEST) + 1 for one in values])
        self.greatest = max(self.greatest, max(codes, default=0))
        self._spool.write(_little(codes))

    def finish(self) -> Encoded:
        self._spool.seek(0)
        codes = array("I")
        codes.frombytes(self._spool.read())
        _little(codes)  # on a machine with the other byte order
        width = _width(self.greatest)
        sample = codes[:_SAMPLE_ROWS]
        delta = _compressed_size(_planes(_deltas(sample), width)) < _compressed_size(_planes(sample, width))
        planes = _planes(_deltas(codes) if delta else codes, width)
        facts = {"kind": "number", "width": width, "delta": delta}
        return _encoded(self._spools, facts, iter([planes]), decoded=width * len(codes))


def duration_code(seconds: float | None) -> int | None:
    """Return a duration as an integer in the order of durations, as exact as it is shown.

    Up to 10 seconds it has hundredths, up to 100 seconds tenths, then whole seconds.
    """
    if seconds is None:
        return None
    if seconds < 10:
        return max(0, round(seconds * 100))
    return 900 + round(seconds * 10) if seconds < 100 else 1800 + round(seconds)


class TextColumn:
    """Texts, which become codes if few of them differ.

    Args:
        longest: characters to keep of each; the rest is cut off.
        filtered: the column has a filter, so it becomes codes also if it has more than MOST_VALUES, up to 65,536.
    """

    def __init__(self, spools: Spools, *, longest: int = LONGEST_TEXT, filtered: bool = False) -> None:
        self._spools = spools
        self._longest = longest
        self._always = filtered
        self._most_values = 2**16 if filtered else MOST_VALUES
        self._texts, self._lengths = spools.new(), spools.new()
        self._distinct: set[bytes] | None = set()
        self._numeric = True
        self._rows = 0

    def add(self, values: Sequence[str]) -> None:
        """Add the values of further rows."""
        longest = self._longest
        texts = [
            (one if len(one) <= longest else one[: longest - 1] + "…").encode("utf-8", "replace") for one in values
        ]
        self._texts.write(b"".join(texts))
        self._lengths.write(_little(array("I", map(len, texts))))
        self._rows += len(texts)
        self._numeric = self._numeric and all(map(_NUMBER.fullmatch, texts))
        if self._distinct is not None:
            self._distinct.update(texts)
            if len(self._distinct) > self._most_values:
                self._distinct = None

    def finish(self) -> Encoded:
        if self._distinct is not None and (self._always or len(self._distinct) <= max(50, self._rows // 4)):
            key = (lambda text: float(text or "-inf")) if self._numeric else None
            return self._as_dictionary(sorted(self._distinct, key=key))
        sample = self._sample()
        plain, fronted = b"".join(sample), b"".join(_fronted(sample, b"")[1])
        front = _compressed_size(fronted) + len(sample) // 20 < _compressed_size(plain)
        return self._as_text(front=front)

    def least_size(self) -> int:
        """Return a size in bytes that the complete column exceeds, from a sample; 0 for a column of few values."""
        if self._distinct is not None or not self._rows:
            return 0
        sample = self._sample()
        return _compressed_size(b"".join(_fronted(sample, b"")[1])) * self._rows // len(sample) // 2

    def _sample(self) -> list[bytes]:
        sample: list[bytes] = []
        for texts in self._chunks():
            sample += texts
            if len(sample) >= _SAMPLE_ROWS:
                break
        return sample

    def _as_dictionary(self, values: list[bytes]) -> Encoded:
        number = {value: code for code, value in enumerate(values)}
        codes = array("H")
        for texts in self._chunks():
            codes.extend([number[text] for text in texts])
        width = _width(len(values) - 1)
        facts = {"kind": "dictionary", "width": width, "values": [value.decode("utf-8") for value in values]}
        return _encoded(
            self._spools, facts, iter([_planes(codes, width)]), decoded=width * len(codes) + 2 * sum(map(len, values))
        )

    def _as_text(self, *, front: bool) -> Encoded:
        shared, rests, size = array("B"), self._spools.new(), 0
        lengths = array("H")
        before = b""
        for texts in self._chunks():
            size += sum(map(len, texts))
            if front:
                numbers, cut = _fronted(texts, before)
                shared.extend(numbers)
                before = texts[-1]
                texts = cut
            lengths.extend(map(len, texts))
            rests.write(b"".join(texts))

        def parts() -> Iterator[bytes]:
            yield _planes(lengths, 2)
            yield shared.tobytes()
            rests.seek(0)
            while part := rests.read(_READ_BYTES):
                yield part

        facts = {"kind": "text", "front": front, "bytes": size, "numeric": self._numeric}
        return _encoded(self._spools, facts, parts(), decoded=size + 4 * (self._rows + 1))

    def _chunks(self) -> Iterator[list[bytes]]:
        """Yield the texts, those of some thousand rows at once."""
        self._texts.seek(0)
        self._lengths.seek(0)
        while part := self._lengths.read(4 * 4096):
            lengths = array("I")
            lengths.frombytes(part)
            _little(lengths)
            data, end, texts = self._texts.read(sum(lengths)), 0, []
            for length in lengths:
                texts.append(data[end : end + length])
                end += length
            yield texts


def _fronted(texts: Sequence[bytes], before: bytes) -> tuple[list[int], list[bytes]]:
    """Return how many first bytes each text shares with the one before it, at most 255, and the rest of each."""
    numbers, rests = [], []
    for text in texts:
        most = min(len(text), len(before), 255)
        # the first bit that differs, by arithmetic on all bytes at once
        differing = int.from_bytes(text[:most]) ^ int.from_bytes(before[:most])
        number = most - (differing.bit_length() + 7) // 8
        numbers.append(number)
        rests.append(text[number:])
        before = text
    return numbers, rests


def _deltas(codes: "array[int]") -> "array[int]":
    return array("I", codes[:1].tolist() + [(later - earlier) & 0xFFFFFFFF for earlier, later in pairwise(codes)])


def _width(greatest: int) -> int:
    return 1 if greatest < 2**8 else 2 if greatest < 2**16 else 4


def _planes(codes: "array[int]", width: int) -> bytes:
    data = _little(codes)
    return b"".join(data[place :: codes.itemsize] for place in range(width))


def _little(codes: "array[int]") -> bytes:
    """Return the bytes of the integers, the lowest byte of each first; swaps them in place where that is needed."""
    if sys.byteorder == "big":
        codes.byteswap()
    return codes.tobytes()


def _compressed_size(data: bytes) -> int:
    return len(zlib.compress(data, 6))


def _encoded(spools: Spools, facts: dict[str, Any], parts: Iterator[bytes], *, decoded: int) -> Encoded:
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    data = spools.new()
    raw = 0
    for part in parts:
        raw += len(part)
        data.write(compressor.compress(part))
    data.write(compressor.flush())
    size = data.tell()
    data.seek(0)
    return Encoded(facts={**facts, "raw": raw}, data=data, size=size, decoded=decoded)
