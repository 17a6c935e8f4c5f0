"""A crew that has never listed its inputs: it is requested again as long as a job may need the decision."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import date
from pathlib import Path

from batchcrew.app.ingest import Ingested, IngestRequest, ingest
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.engine import Stop
from batchcrew.jobfile import load_jobfile
from batchcrew.ledger import Ledger
from batchcrew.model.crew_answers import CrewInput, CrewInputs


class UnreachableCrew:
    """Counts the requests for inputs, and answers none until `answer` is set."""

    def __init__(self) -> None:
        self.requests = 0
        self.answer: CrewInputs | None = None

    async def request(self, crews: frozenset[str]) -> Mapping[str, CrewInputs | None]:
        self.requests += 1
        return {} if self.answer is None else dict.fromkeys(crews, self.answer)


async def ingested(folder: Path, crew: UnreachableCrew) -> Ingested:
    (folder / "r.csv").write_text("id,a,b\n1,2,3\n2,3,4\n")
    (folder / "x.yaml").write_text("crew: {url: 'http://127.0.0.1:9', token: t}\njobs: [{rows: r.csv}]\n")
    today = date(2026, 1, 31)
    jobfile = await asyncio.to_thread(load_jobfile, folder / "x.yaml", environ={}, today=today)
    source = Source(path=jobfile.path, environ={}, today=today)
    request = IngestRequest(jobfile=jobfile, source=source, settings=jobfile.run)
    async with Ledger(folder / "ledger.db", clock=SystemClock()) as ledger:
        return await ingest(ledger, request, stop=Stop(), observe=lambda _: None, request_inputs=crew.request)


def change_states(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "ledger.db")) as ledger, ledger:
        ledger.execute(sql)


async def test_an_unchanged_file_with_jobs_left_requests_the_inputs_again(tmp_path: Path) -> None:
    crew = UnreachableCrew()
    for requests in (1, 2):
        assert not (await ingested(tmp_path, crew)).decided
        assert crew.requests == requests
    crew.answer = CrewInputs(inputs=(CrewInput(name="a"),))
    assert (await ingested(tmp_path, crew)).decided
    assert (await ingested(tmp_path, crew)).plan is None
    assert crew.requests == 3


async def test_a_batch_that_has_succeeded_needs_no_decision_until_a_job_runs_again(tmp_path: Path) -> None:
    crew = UnreachableCrew()
    await ingested(tmp_path, crew)
    change_states(tmp_path, "UPDATE jobs SET state = 'succeeded'")
    assert (await ingested(tmp_path, crew)).plan is None
    assert crew.requests == 1
    change_states(tmp_path, "UPDATE jobs SET state = 'pending' WHERE job_id = '2'")
    assert not (await ingested(tmp_path, crew)).decided
    assert crew.requests == 2
