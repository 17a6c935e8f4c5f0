"""Suggest a job id for one that a batch does not have, in milliseconds even among a million jobs."""

import string
from collections.abc import Iterator

import aiosqlite

from batchcrew.base.similar import did_you_mean
from batchcrew.ledger.fetch import rows
from batchcrew.ledger.json_text import encode_json

_NEIGHBOURS = 50
"""Job ids before and after the unknown one, in the index's order: those that begin as it does."""
_LONGEST = 60
"""Longest id, in characters, for which every id with one mistake is looked up."""
_NEAR = """
SELECT job_id FROM (SELECT job_id FROM jobs WHERE batch_id = :batch AND job_id > :job ORDER BY job_id LIMIT :most)
UNION ALL
SELECT job_id FROM (SELECT job_id FROM jobs WHERE batch_id = :batch AND job_id < :job ORDER BY job_id DESC LIMIT :most)
"""
_OF_THESE = "SELECT job_id FROM jobs WHERE batch_id = :batch AND job_id IN (SELECT value FROM json_each(:words))"


async def did_you_mean_job(connection: aiosqlite.Connection, batch_id: int, job_id: str) -> str:
    """Return ` (did you mean 'x'?)` for a similar job id of the batch, or nothing.

    It reads a bounded number of entries of an index: ids with one mistake less, then ids that begin alike.
    """
    words = sorted(set(_single_mistakes(job_id)))
    found = await rows(connection, _OF_THESE, {"batch": batch_id, "words": encode_json(words)})
    if not found:
        found = await rows(connection, _NEAR, {"batch": batch_id, "job": job_id, "most": _NEIGHBOURS})
    return did_you_mean(job_id, (row[0] for row in found))


def _single_mistakes(word: str) -> Iterator[str]:
    """Yield the words that differ from `word` by one character more, less, wrong or swapped, or by their case."""
    yield from (word.strip(), word.lower(), word.upper(), word.casefold(), word.capitalize(), word.title())
    if len(word) > _LONGEST:
        return
    letters = {*string.ascii_lowercase, *string.digits, *"-_. @", *word, *word.upper()}
    for place in range(len(word) + 1):
        before, after = word[:place], word[place:]
        yield from (f"{before}{letter}{after}" for letter in letters)
        if after:
            yield before + after[1:]
            yield from (f"{before}{letter}{after[1:]}" for letter in letters)
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
