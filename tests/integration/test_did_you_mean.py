"""Suggestions for batches and jobs that a ledger does not have."""

from pathlib import Path

import aiosqlite
import pytest
from manual_clock import ManualClock

from batchcrew.app.batches import known_batch
from batchcrew.app.upkeep import counts_of
from batchcrew.base.errors import NotInLedger
from batchcrew.base.similar import did_you_mean, most_similar
from batchcrew.ledger import Ledger, LedgerReader, RetrySelection
from batchcrew.ledger.reads import similar
from batchcrew.ledger.reads.similar import did_you_mean_job
from batchcrew.model.job import Job, JobState, Location

JOBS = ("trip-041", "trip-042", "Tokyo", "ann@example.com", "a-long-id-of-a-row-" * 5)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.db"
    for batch, names in (("travel", JOBS), ("hotels", ("x",))):
        jobs = [Job(job_id=name, crew="c", inputs={}, meta={}, row={}, where=Location("f", 1)) for name in names]
        async with Ledger(made, clock=ManualClock()) as ledger:
            await ledger.stage(batch, jobs)
            await ledger.ingest(batch, jobfile="jobs.yaml", digest=batch, columns=())
    return made


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("travl", ["hotels", "travel"], "travel"),
        ("TRAVEL", ["travel"], "travel"),
        ("other", ["travel"], None),
        ("x" * 10_000, ["x" * 9_999], None),
        ("x", [], None),
    ],
)
def test_the_most_similar_word(word: str, known: list[str], found: str | None) -> None:
    assert most_similar(word, known) == found
    assert did_you_mean(word, known) == ("" if found is None else f" (did you mean {found!r}?)")


@pytest.mark.parametrize(
    ("job_id", "meant"),
    [
        ("trip-41", "trip-041"),
        ("trip-0422", "trip-042"),
        ("trop-042", "trip-042"),
        ("rtip-042", "trip-042"),
        ("tokyo", "Tokyo"),
        ("ann@example.con", "ann@example.com"),
        (JOBS[-1] + "x", JOBS[-1]),
        ("something else", None),
        ("", None),
    ],
)
async def test_a_similar_job_is_named(path: Path, job_id: str, meant: str | None) -> None:
    async with Ledger(path, clock=ManualClock()) as ledger:
        key = await known_batch(ledger, "travel")
        selection = RetrySelection(states=(JobState.FAILED,), job_ids=(job_id,))
        expected = "" if meant is None else f" (did you mean {meant!r}?)"
        for call in (ledger.job(key, job_id), ledger.keep(key, [job_id]), ledger.retry_selected(key, selection)):
            with pytest.raises(NotInLedger) as raised:
                await call
            assert ("did you mean" in str(raised.value)) == (meant is not None)
            assert expected in str(raised.value)
        with pytest.raises(NotInLedger):
            await anext(ledger.unsure(key, [job_id]))


async def test_a_similar_batch_is_named_without_its_others(path: Path) -> None:
    async with LedgerReader(path, clock=ManualClock()) as ledger:
        with pytest.raises(NotInLedger, match=r"'travl' not found in .* \(did you mean 'travel'\?\)$"):
            await known_batch(ledger, "travl")
        with pytest.raises(NotInLedger, match=r"\(its batches: "):
            await known_batch(ledger, "something else")
    with pytest.raises(NotInLedger, match="did you mean 'travel'"):
        await counts_of(path, "travl", clock=ManualClock())


async def test_the_queries_read_a_bounded_part_of_the_index(path: Path) -> None:
    parameters = {"batch": 1, "job": "x", "most": 50, "words": "[]"}
    async with aiosqlite.connect(path) as connection:
        for query in (similar._NEAR, similar._OF_THESE):
            async with connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters) as plan:
                steps = [row[3] async for row in plan]
            searches = [step for step in steps if " jobs " in step]
            assert searches
            assert all("batch_id=? AND job_id" in step for step in searches), steps
            assert not any("ORDER BY" in step for step in steps), steps
        assert await did_you_mean_job(connection, 1, "trip-04") != ""


def test_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    from batchcrew import cli

    assert cli._call(["statsu"]) == 2
    assert "'status'" in capsys.readouterr().err
