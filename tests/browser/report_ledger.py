"""Ledgers whose reports the browser opens."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from batchcrew.base.clock import SystemClock
from batchcrew.ledger import Ledger

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "=cmd|'/C calc'!A0",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe\u2066 right to left",
    "nul\x00character",
    "[click](javascript:alert(1)) ![pixel](https://example.com/pixel.png)",
    "<a href='javascript:alert(1)' style='position:fixed;inset:0'>all</a>",
    "<style>*{display:none}</style><iframe src=https://example.com></iframe><form action=https://example.com>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "data:text/html,<script>alert(1)</script>",
    "\ud800 lone surrogate",
)
"""Texts that must do nothing."""
COLUMNS = ("company", "__proto__", "constructor", "note", "age", "<b>bold</b>", "\u202ereversed")
JOBS = 600
FAILED = tuple(range(7, JOBS, 40))
"""The positions of jobs that failed."""
_ATTEMPT = (
    "INSERT INTO attempts (id, job, number, run_id, state, kickoff_id, intended_at, kicked_off_at, ended_at, reason,"
    " reason_fingerprint, output, token_usage, execution_time) VALUES (?, ?, 1, 'run-1', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def apart(call: Callable[[], object]) -> None:
    """Call in another thread: in this one, Playwright runs an event loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


def write_ledger(
    path: Path, *, huge: str = "# An answer\n\n- with *Markdown*\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
) -> None:
    """Write the ledger of a batch of 600 jobs, 15 of which failed, with everything hostile that a file may contain.

    Args:
        huge: the output of the first job.
    """
    apart(lambda: asyncio.run(_create(path)))
    with sqlite3.connect(path) as ledger:
        moment = "2026-11-23T08:{:02d}:{:02d}.000Z"
        ledger.execute(
            "INSERT INTO batches (id, batch, jobfile, columns, created_at) VALUES (1, 'leads', 'leads.yaml', ?, ?)",
            (json.dumps(COLUMNS), moment.format(0, 0)),
        )
        ledger.execute(
            "INSERT INTO runs (id, batch_id, started_at, ended_at, pid, host, version)"
            " VALUES ('run-1', 1, ?, ?, 1, 'h', '1')",
            (moment.format(0, 0), moment.format(59, 0)),
        )
        for place in range(JOBS):
            failed, text = place in FAILED, HOSTILE[place % len(HOSTILE)].encode("utf-8", "replace").decode()
            reason = f"RateLimitError {text}" if failed else None
            row = dict.fromkeys(COLUMNS, text) | {
                "company": f"Company {place % 37} Ä{text[:3]}",
                "age": str(1000 - place),
            }
            job_id = f"job-{place:04d}{text if place % 60 == 1 else ''}"
            ledger.execute(
                "INSERT INTO jobs (id, batch_id, job_id, crew, position, state, reason, reason_fingerprint, attempts,"
                " charged, inputs, meta, row, source, updated_at)"
                " VALUES (?, 1, ?, ?, ?, ?, ?, ?, 1, 1, ?, '{}', ?, ?, ?)",
                (
                    place + 1,
                    job_id,
                    ("research", "writing")[place % 2],
                    place,
                    "failed" if failed else "succeeded",
                    reason,
                    f"{20 if place < 300 else 10:012x}" if failed else None,
                    json.dumps({"note": text, "__proto__": "x", "nested": {"a": [1, 2]}}),
                    json.dumps(row),
                    f"leads.csv:{place + 2}",
                    moment.format(1, 0),
                ),
            )
            kicked_off, ended = moment.format(place // 60, place % 60), moment.format(place // 60 + 1, place % 60)
            output = None if failed else huge if place == 0 else f"## Answer\n\n{text}\n\n1. <b>one</b>\n2. two"
            tokens = json.dumps({"total_tokens": 100 + place})
            seconds = (place * 7919 % 600) / 10
            ledger.execute(
                _ATTEMPT,
                (
                    f"attempt-{place}",
                    place + 1,
                    "failed" if failed else "succeeded",
                    f"kickoff-{place}",
                    kicked_off,
                    kicked_off,
                    ended,
                    reason,
                    None,
                    output,
                    tokens,
                    seconds,
                ),
            )
            ledger.execute(
                "INSERT INTO task_results VALUES (?, 0, ?, ?, ?, 1.5)",
                (f"attempt-{place}", f"task {text}", f"agent {text}", output),
            )


async def _create(path: Path) -> None:
    async with Ledger(path, clock=SystemClock()):
        pass


def add_pending(path: Path, number: int) -> None:
    """Add jobs that have not been started, `more-000001` and so on."""
    with sqlite3.connect(path) as ledger:
        ledger.execute(
            "INSERT INTO jobs (batch_id, job_id, crew, position, inputs, meta, row, source, updated_at)"
            " WITH RECURSIVE more (place) AS (SELECT 1 UNION ALL SELECT place + 1 FROM more WHERE place < ?)"
            " SELECT 1, printf('more-%06d', place), 'research', 10000 + place, '{}', '{}', '{}', 'leads.csv', ''"
            " FROM more",
            (number,),
        )
