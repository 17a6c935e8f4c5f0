"""Judge answers by the rules of the job file: in runs, in ticks and in rechecks, before an outcome is recorded."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from batchcrew.model.execution import Execution
from batchcrew.model.verdict import Answered, AnswerRules, Verdict


class AnsweredJob(Protocol):
    """The job that an answer belongs to; an attempt is one."""

    @property
    def job_key(self) -> int:
        """The ledger's row number of the job."""
        ...

    @property
    def job_id(self) -> str: ...

    @property
    def crew(self) -> str: ...


class Rows(Protocol):
    """Provides the columns of a job's row: the ledger."""

    async def row_of(self, job_key: int) -> Mapping[str, Any]:
        """Return the columns of the job's row."""
        ...


class Judging:
    """Applies the rules. A rule that may take longer runs in a thread, one at a time, so that polls are not delayed.

    Args:
        rows: provides the rows of jobs, if a rule needs them.
    """

    def __init__(self, rules: AnswerRules, rows: Rows) -> None:
        self._rules = rules
        self._rows = rows
        self._one = asyncio.Lock()

    async def verdict(self, job: AnsweredJob, execution: Execution, inputs: Mapping[str, Any]) -> Verdict:
        """Return the verdict on an answer.

        Args:
            inputs: the inputs that the answer was made from.

        Raises:
            LedgerError: the row cannot be read.
        """
        row = await self._rows.row_of(job.job_key) if self._rules.needs_row else {}
        answered = Answered(execution=execution, job_id=job.job_id, crew=job.crew, inputs=inputs, row=row)
        if self._rules.is_quick(execution):
            return self._rules.judge(answered)
        async with self._one:
            return await asyncio.to_thread(self._rules.judge, answered)
