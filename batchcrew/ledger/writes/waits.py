"""Record waits for human input: see `ledger/waits.py`."""

from datetime import datetime

from batchcrew.base.clock import to_text
from batchcrew.ledger import waits
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.writes.base import Writes
from batchcrew.model.execution import Question
from batchcrew.model.waits import AnswerState, Decision


class WaitWrites(Writes):
    """Write waits to the ledger."""

    async def wait_began(
        self, attempt_id: str, question: Question, *, requested_at: datetime, next_poll: datetime
    ) -> bool:
        """Record that an execution waits for human input, or still does (see `waits.begin`)."""
        now, requested, poll = self._now(), to_text(requested_at), to_text(next_poll)
        return await self._writing.call(
            lambda connection: waits.begin(
                connection, attempt_id, question, requested_at=requested, now=now, next_poll=poll
            )
        )

    async def wait_ended(self, attempt_id: str) -> None:
        """Record that an execution does not wait for human input any more, and that this run watches it."""
        now = self._now()
        await self._writing.call(lambda connection: waits.end(connection, attempt_id, now))

    async def poll_waiting_later(self, attempt_id: str, next_poll: datetime) -> None:
        """Record when a waiting execution is polled again."""
        poll = to_text(next_poll)
        await self._writing.call(lambda connection: waits.poll_later(connection, attempt_id, poll))

    async def poll_waiting_now(self, key: BatchKey) -> None:
        """Make every waiting execution of the batch due."""
        await self._writing.call(lambda connection: waits.poll_now(connection, key))

    async def take_up_answered(self, key: BatchKey) -> list[str]:
        """Return the attempts whose questions were answered, each to one run only."""
        return await self._writing.call(lambda connection: waits.take_up(connection, key))

    async def intend_answer(self, wait_id: str, decision: Decision) -> bool:
        """Make a decision durable before it is sent. False: the wait has ended, or was decided."""
        now = self._now()
        return await self._writing.call(lambda connection: waits.intend(connection, wait_id, decision, now))

    async def answer_withdrawn(self, wait_id: str) -> None:
        """Record that a decision did not arrive: the question is open as before."""
        await self._writing.call(lambda connection: waits.withdraw(connection, wait_id))

    async def answered(self, wait_id: str, answer: AnswerState) -> None:
        """Record that a decision was delivered, or that nothing waits for it."""
        now = self._now()
        await self._writing.call(lambda connection: waits.settle(connection, wait_id, answer.value, now))

    async def answer_in_doubt(self, wait_id: str, note: str) -> None:
        """Record that a rejection may have arrived, and open the question again under another wait_id."""
        now = self._now()
        await self._writing.call(lambda connection: waits.doubt(connection, wait_id, note, now))
