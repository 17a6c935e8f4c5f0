"""The table of all jobs: which columns it has, within the bytes that a page may take.

Our columns are always in it. The file's own columns follow in the file's order, as long as the page stays below
TABLE_LIMIT and what the browser decodes below MEMORY_LIMIT; the page names those that do not fit.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchcrew.ledger.reads.job_table import JobPage
from batchcrew.reports.html.columns import Encoded, NumberColumn, TextColumn
from batchcrew.reports.html.markdown import value_as_text

TABLE_LIMIT = 7_000_000
"""Bytes of all columns as they are in the page, in base64."""
MEMORY_LIMIT = 72_000_000
"""Bytes of all columns in the browser."""
MOST_COLUMNS = 60
"""The file's own columns that are considered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column of the table, complete."""

    key: str
    """Of ours: what the script knows it by. Empty for the file's own."""
    name: str
    encoded: Encoded
    unit: str = ""
    """Of numbers: `seconds`, `time`."""
    hidden: bool = False
    """True: it is only for filters."""

    def facts(self) -> dict[str, Any]:
        """Return what the script has to know."""
        return {"key": self.key, "name": self.name, "unit": self.unit, "hidden": self.hidden, **self.encoded.facts}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsTable:
    """All jobs of a batch as columns."""

    rows: int
    columns: Sequence[TableColumn]
    left_out: Sequence[str] = ()
    """The file's own columns that do not fit (the first ones)."""
    more_left_out: int = 0
    detailed: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Rows by the place of their details: the number of a block, and the place there."""


class _Collector:
    """Collects the columns while pages of jobs are read."""

    def __init__(self, columns: Sequence[str], places: Mapping[str, tuple[int, int]]) -> None:
        self._places = places
        self.rows = 0
        self.detailed: dict[tuple[int, int], int] = {}
        self.job_ids, self.reasons = TextColumn(longest=300), TextColumn()
        self.states, self.crews, self.groups = (TextColumn(filtered=True) for _ in range(3))
        self.attempts, self.started = NumberColumn(), NumberColumn()
        self.seconds, self.tokens = NumberColumn(scale=100), NumberColumn()
        self.own = {name: TextColumn() for name in columns[:MOST_COLUMNS]}
        self.different = dict.fromkeys(self.own, False)
        """By the file's column: whether it differs from the job's id."""

    def add(self, page: JobPage) -> None:
        for place, job_id in enumerate(page.job_ids):
            if job_id in self._places:
                self.detailed[self._places[job_id]] = self.rows + place
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
            (self.started, page.started),
            (self.seconds, page.seconds),
            (self.tokens, page.tokens),
        ):
            numbers.add(values)
        rows = [json.loads(row) for row in page.rows]
        for name, own in self.own.items():
            texts = tuple(value_as_text(row.get(name)) for row in rows)
            self.different[name] = self.different[name] or texts != page.job_ids
            own.add(texts)

    def finish(self, columns: Sequence[str]) -> JobsTable:
        ours = self._ours()
        size = sum(_in_page(one.encoded) for one in ours)
        memory = sum(one.encoded.decoded for one in ours)
        own, left_out = [], []
        for name, column in self.own.items():
            if not self.different[name]:
                continue
            encoded = column.finish()
            if size + _in_page(encoded) > TABLE_LIMIT or memory + encoded.decoded > MEMORY_LIMIT:
                encoded.data.close()
                left_out.append(name)
                continue
            size, memory = size + _in_page(encoded), memory + encoded.decoded
            own.append(TableColumn(key="", name=name, encoded=encoded))
        return JobsTable(
            rows=self.rows,
            columns=[*ours[:2], *own, *ours[2:]],
            left_out=left_out,
            more_left_out=max(0, len(columns) - MOST_COLUMNS),
            detailed=self.detailed,
        )

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
    pages: AsyncIterable[JobPage], columns: Sequence[str], places: Mapping[str, tuple[int, int]]
) -> JobsTable:
    """Read all jobs.

    Args:
        columns: the file's own columns.
        places: by job_id, where the details of some jobs are.
    """
    collector = await asyncio.to_thread(_Collector, columns, places)
    async for page in pages:
        await asyncio.to_thread(collector.add, page)
    return await asyncio.to_thread(collector.finish, columns)


def _tokens(encoded: Encoded) -> TableColumn:
    return TableColumn(key="tokens", name="tokens", encoded=encoded)


def _is_empty(encoded: Encoded) -> bool:
    return encoded.facts.get("values") in ([], [""])


def _in_page(encoded: Encoded) -> int:
    return -(-encoded.size // 3) * 4
