"""A rows file that changes between its digest and its last row is not ingested in."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from batchcrew.app.ingest import IngestRequest, ingest
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import JobFileError
from batchcrew.engine import Stop
from batchcrew.jobfile import CHANGED, JobFile, load_jobfile
from batchcrew.ledger import Ledger


async def test_a_change_right_after_the_digest_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "r.csv"
    rows.write_text("id,a\n1,2\n")
    (tmp_path / "x.yaml").write_text("crew: {url: embedded}\njobs: [{rows: r.csv}]\n")
    jobfile = await asyncio.to_thread(load_jobfile, tmp_path / "x.yaml", environ={}, today=date(2026, 1, 31))
    source = Source(path=jobfile.path, environ={}, today=date(2026, 1, 31))
    request = IngestRequest(jobfile=jobfile, source=source, settings=jobfile.run)
    digest = JobFile.digest

    def then_written(self: JobFile) -> str:
        made = digest(self)
        with rows.open("a") as stream:
            stream.write("2,3\n")
        return made

    monkeypatch.setattr(JobFile, "digest", then_written)
    async with Ledger(tmp_path / "ledger.db", clock=SystemClock()) as ledger:
        with pytest.raises(JobFileError, match=r"r\.csv") as raised:
            await ingest(ledger, request, stop=Stop(), observe=lambda _: None)
        assert CHANGED in str(raised.value)
        assert await ledger.batch("x") is None
        monkeypatch.setattr(JobFile, "digest", digest)
        ingested = await ingest(ledger, request, stop=Stop(), observe=lambda _: None)
    assert ingested.plan is not None
    assert ingested.plan.total == 2
