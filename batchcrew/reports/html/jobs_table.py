"""Build the table of all jobs, within the bytes that a page may take.

It always has batchcrew's columns. It has as many of the file's own columns as fit into TABLE_LIMIT, and into
MEMORY_LIMIT once the browser has decoded them; the page names the others.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchcrew.ledger.reads.job_table import JobPage
from batchcrew.reports.html.columns import Encoded, NumberColumn, Spools, TextColumn, duration_code
from batchcrew.reports.html.markdown import value_as_text

TABLE_LIMIT = 8_200_000
"""Bytes of all columns as they are in the page, in base64."""
MEMORY_LIMIT = 68_000_000
"""Bytes of all columns in the browser."""
MOST_COLUMNS = 60
"""The file's own columns that are considered."""
_LONG_NUMBER = re.compile(r"\d{19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column of the table, complete."""

    key: str
    """The script's key of one of batchcrew's columns; empty for the file's own."""
    name: str
    encoded: Encoded
    unit: str = ""
    """Of numbers: `seconds`, `time`."""
    hidden: bool = False
    """True: it is only for filters."""

    def facts(self) -> dict[str, Any]:
        """Return the properties that the script needs."""
        return {"key": self.key, "name": self.name, "unit": self.unit, "hidden": self.hidden, **self.encoded.facts}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsTable:
    """All jobs of a batch as columns."""

    rows: int
    columns: Sequence[TableColumn]
    left_out: Sequence[str] = ()
    """The file's own columns that do not fit (the first ones)."""
    more_left_out: int = 0
    wanted: Mapping[str, int] = field(default_factory=dict)
    """The rows of the jobs whose details are wanted, by job_id."""

    @property
    def size(self) -> int:
        """Return the bytes of all columns in the page."""
        return sum(_in_page(column.encoded) for column in self.columns)


class _Collector:
    """Collects the columns while pages of jobs are read."""

    def __init__(self, spools: Spools, columns: Sequence[str], wanted: Collection[str]) -> None:
        self._wanted = frozenset(wanted)
        self.rows = 0
        self.found: dict[str, int] = {}
        self.job_ids, self.reasons = TextColumn(spools, longest=300), TextColumn(spools)
        self.states, self.crews, self.groups = (TextColumn(spools, filtered=True) for _ in range(3))
        self.attempts, self.started, self.seconds, self.tokens = (NumberColumn(spools) for _ in range(4))
        self.own = {name: TextColumn(spools) for name in columns[:MOST_COLUMNS]}
        self.different = dict.fromkeys(self.own, False)
        """Whether each column of the file differs from the job's id."""

    def add(self, page: JobPage) -> None:
        if not self._wanted.isdisjoint(page.job_ids):
            for place, job_id in enumerate(page.job_ids):
                if job_id in self._wanted:
                    self.found[job_id] = self.rows + place
        self.rows += len(page.job_ids)
        for column, texts in (
            (self.job_ids, page.job_ids),
            (self.states, page.states),
            (self.crews, page.crews),
            (self.groups, page.fingerprints),
            (self.reasons, page.reasons),
        ):
            column.add(texts)
        for numbers, values in (
            (self.attempts, page.attempts_used),
            (self.started, [None if one is None else round(one) for one in page.started]),
            (self.seconds, [duration_code(one) for one in page.seconds]),
            (self.tokens, page.tokens),
        ):
            numbers.add(values)
        rows = [_decoded(row) for row in page.rows]
        for name, own in self.own.items():
            texts = tuple(value_as_text(row.get(name)) for row in rows)
            self.different[name] = self.different[name] or texts != page.job_ids
            own.add(texts)

    def finish(self, columns: Sequence[str]) -> JobsTable:
        ours = self._ours()
        size = sum(_in_page(one.encoded) for one in ours)
        memory = sum(one.encoded.decoded for one in ours)
        own: dict[str, TableColumn] = {}
        for encoded_size, name, encoded in sorted(self._candidates(), key=lambda one: one[0]):
            if size + encoded_size > TABLE_LIMIT or memory + encoded.decoded > MEMORY_LIMIT:
                encoded.data.close()
                continue
            size, memory = size + encoded_size, memory + encoded.decoded
            own[name] = TableColumn(key="", name=name, encoded=encoded)
        return JobsTable(
            rows=self.rows,
            columns=[*ours[:2], *(own[name] for name in self.own if name in own), *ours[2:]],
            left_out=[name for name in self.own if name not in own and self.different[name]],
            more_left_out=max(0, len(columns) - MOST_COLUMNS),
            wanted=self.found,
        )

    def _candidates(self) -> Iterator[tuple[int, str, Encoded]]:
        """Yield the file's own columns that may fit, each with its bytes in the page."""
        for name, column in self.own.items():
            if self.different[name] and column.least_size() < TABLE_LIMIT:
                encoded = column.finish()
                yield _in_page(encoded), name, encoded

    def _ours(self) -> list[TableColumn]:
        crews, reasons, tokens = self.crews.finish(), self.reasons.finish(), self.tokens.finish()
        found = [
            TableColumn(key="job_id", name="job_id", encoded=self.job_ids.finish()),
            TableColumn(key="state", name="state", encoded=self.states.finish()),
            TableColumn(key="reason", name="reason", encoded=reasons, hidden=_is_empty(reasons)),
            TableColumn(key="seconds", name="duration", encoded=self.seconds.finish(), unit="seconds"),
            TableColumn(key="started", name="started (UTC)", encoded=self.started.finish(), unit="time"),
            TableColumn(key="attempts", name="attempts", encoded=self.attempts.finish()),
            TableColumn(key="crew", name="crew", encoded=crews, hidden=len(crews.facts.get("values", "12")) == 1),
            TableColumn(key="group", name="group", encoded=self.groups.finish(), hidden=True),
        ]
        return found if self.tokens.greatest == 0 else [*found[:6], _tokens(tokens), *found[6:]]


async def read_table(
    pages: AsyncIterable[JobPage], columns: Sequence[str], wanted: Collection[str], *, spools: Spools
) -> JobsTable:
    """Read all jobs.

    Args:
        columns: the file's own columns.
        wanted: the ids of jobs whose rows have to be known.
        spools: where columns are collected.
    """
    collector = await asyncio.to_thread(_Collector, spools, columns, wanted)
    async for page in pages:
        await asyncio.to_thread(collector.add, page)
    return await asyncio.to_thread(collector.finish, columns)


def _tokens(encoded: Encoded) -> TableColumn:
    return TableColumn(key="tokens", name="tokens", encoded=encoded)


def _decoded(row: str) -> dict[str, Any]:
    # orjson is faster, but turns integers beyond 64 bits into floats
    decoded: dict[str, Any] = json.loads(row) if _LONG_NUMBER.search(row) else orjson.loads(row)
    return decoded


def _is_empty(encoded: Encoded) -> bool:
    return encoded.facts.get("values") in ([], [""])


def _in_page(encoded: Encoded) -> int:
    return -(-encoded.size // 3) * 4
