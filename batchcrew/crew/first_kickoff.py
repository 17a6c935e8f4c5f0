"""Checks with exactly one execution what cannot be checked without one, for `doctor --kickoff`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from batchcrew.base.clock import Clock
from batchcrew.base.quantities import format_duration
from batchcrew.crew.client import CrewClient
from batchcrew.crew.diagnoses import ok, problem, warning
from batchcrew.model.attempt import Attempt
from batchcrew.model.crew_answers import (
    Accepted,
    BadInputs,
    Busy,
    Doubtful,
    Finished,
    KickoffAnswer,
    NotSent,
    NotStarted,
    StatusAnswer,
    Unclear,
    Unusable,
)
from batchcrew.model.diagnosis import Diagnosis, KickoffExamination
from batchcrew.model.execution import Execution, ExecutionState

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
UNCLEAR_POLLS = 5
"""Number of polls in a row without a clear answer after which polling ends."""
_FOUND_SECONDS = 60.0
"""A crew may know an execution only some time after its kickoff."""
_ENDED = frozenset({ExecutionState.SUCCEEDED, ExecutionState.FAILED})


@dataclass(slots=True)
class FirstKickoff:
    """One kickoff, and the watch of its execution.

    Args:
        synchronous: the crew is set to answer with the result (`crew.sync`).
        limit: longest time of one status request, in seconds.
        longest: seconds after which the execution is no longer watched.
        accepted: receives the kickoff_id before anything else is done with it.
    """

    client: CrewClient
    clock: Clock
    synchronous: bool
    limit: float
    longest: float
    accepted: Callable[[str], None]
    _words: dict[str, bool] = field(default_factory=dict)
    """The status words in their order, and whether they are known."""

    async def run(self, attempt: Attempt) -> KickoffExamination:
        """Send the kickoff, once, whatever its answer is, and watch the execution."""
        answer = await self.client.kickoff(attempt, within=self.longest)
        if isinstance(answer, Finished):
            if answer.kickoff_id is not None:
                self.accepted(answer.kickoff_id)
            return self._result(attempt, answer.kickoff_id, self._answered_at_once(answer), answer.execution)
        if not isinstance(answer, Accepted):
            return self._result(attempt, None, [_not_accepted(answer)], None)
        self.accepted(answer.kickoff_id)
        place = f", in {answer.place}" if answer.place not in {"", "kickoff_id"} else ""
        found = [ok("kickoff", f"accepted with a kickoff_id{place}")]
        if self.synchronous:
            text = "the crew answers with a kickoff_id although `sync: true` is set"
            found = [warning("kickoff", text, "remove `sync` from the crew in the job file")]
        last, trouble = await self._watch(answer.kickoff_id)
        return self._result(attempt, answer.kickoff_id, [*found, *trouble], last)

    def _answered_at_once(self, answer: Finished) -> list[Diagnosis]:
        if self.synchronous:
            return [ok("kickoff", "answered with the result, as `sync: true` expects")]
        text = "the kickoff is answered with the result itself"
        return [warning("kickoff", text, "set `sync: true` for the crew, so that longer executions are awaited")]

    async def _watch(self, kickoff_id: str) -> tuple[Execution | None, list[Diagnosis]]:
        """Poll until the execution has ended or waits for human input; return its last state and what went wrong."""
        started, pause, unclear = self.clock.monotonic(), FIRST_PAUSE_SECONDS, 0
        last: Execution | None = None
        while (spent := self.clock.monotonic() - started) < self.longest:
            answer = await self._poll(kickoff_id)
            match answer:
                case Execution(state=ExecutionState.NOT_FOUND) if spent < _FOUND_SECONDS:
                    pass
                case Execution():
                    last, unclear = answer, 0
                    if answer.word:
                        self._words[answer.word] = answer.known_word
                    if answer.state not in {ExecutionState.WAITING, ExecutionState.RUNNING}:
                        return last, []
                case Unusable(reason):
                    return last, [problem("status", reason, "the token may not be allowed to read executions")]
                case Unclear(reason):
                    unclear += 1
                    if unclear >= UNCLEAR_POLLS:
                        return last, [problem("status", reason, "batchcrew cannot read the status of this crew")]
            await self.clock.sleep(min(pause, LONGEST_PAUSE_SECONDS))
            pause *= 1.5
        text = f"the execution has not ended after {format_duration(self.longest)}"
        return last, [warning("execution", text, "it continues on the crew; its kickoff_id is shown above")]

    async def _poll(self, kickoff_id: str) -> StatusAnswer:
        try:
            async with asyncio.timeout(self.limit):
                return await self.client.status(kickoff_id)
        except TimeoutError:
            return Unclear(f"no complete answer to a status request within {self.limit:.0f}s")

    def _result(
        self, attempt: Attempt, kickoff_id: str | None, found: list[Diagnosis], last: Execution | None
    ) -> KickoffExamination:
        if self.client.status_path is not None:
            found.append(ok("status", f"status requests are answered on {self.client.status_path}"))
        found += self._status_words()
        if last is not None:
            found += [*_outcome(last), _echo(last, attempt)]
        return KickoffExamination(
            crew=attempt.crew,
            attempt_id=attempt.attempt_id,
            kickoff_id=kickoff_id,
            status_path=self.client.status_path,
            status_words=tuple(self._words),
            ended=last is not None and last.state in _ENDED,
            diagnoses=tuple(found),
        )

    def _status_words(self) -> list[Diagnosis]:
        if not self._words:
            return []
        unknown = [repr(word) for word, known in self._words.items() if not known]
        if unknown:
            text = f"unknown status {', '.join(unknown)}: treated as running"
            return [warning("words", text, "if it means something else, add it to batchcrew (docs/crew-api.md)")]
        return [ok("words", ", ".join(self._words))]


def _not_accepted(answer: KickoffAnswer) -> Diagnosis:
    """Return the reason why there is no execution, or none with a known id."""
    match answer:
        case Busy(reason):
            return warning(
                "kickoff", reason, "the crew is at its limit; try again later, with a `rate` or less at a time"
            )
        case BadInputs(reason):
            return problem("kickoff", reason, "compare the inputs with those that the crew lists")
        case Unusable(reason):
            return problem("kickoff", reason, "nothing was started")
        case NotSent(reason):
            return problem("kickoff", reason, "nothing was started; try again")
        case NotStarted(reason):
            return problem("kickoff", reason, "nothing was started; check `url:` and `token:`")
        case Doubtful(reason):
            fix = "an execution may be running, and was not sent again; look at the crew for the attempt in its meta"
            return problem("kickoff", reason, fix)
        case _:
            raise AssertionError(answer)


def _outcome(last: Execution) -> list[Diagnosis]:
    """Return what the last answer shows about results."""
    if last.state is ExecutionState.FAILED:
        return [problem("result", f"the execution failed: {last.error}", "check the crew with these inputs")]
    if last.state is ExecutionState.NOT_FOUND:
        return [problem("result", "the crew does not know its own kickoff_id", "batchcrew cannot follow executions")]
    if last.state is ExecutionState.WAITING_FOR_HUMAN:
        text = f"the execution waits for human input ({last.word!r})"
        fix = "its executions need answers (`batchcrew inbox`, `batchcrew answer`), or a crew without human input"
        return [warning("result", text, fix)]
    if last.state is not ExecutionState.SUCCEEDED:
        return []
    if not last.has_output:
        return [
            warning("result", "the execution succeeded without an output", "such a job fails (`accept: not_empty`)")
        ]
    parts = [f"{'JSON' if last.result_json is not None else 'text'} of {len(last.output or '')} characters"]
    parts[0] += f" in {last.output_place}" if last.output_place else ""
    parts += [f"{len(last.tasks)} {'task' if len(last.tasks) == 1 else 'tasks'}"] if last.tasks else []
    parts += ["its time"] if last.execution_time is not None else []
    parts += ["token usage"] if last.token_usage else []
    return [ok("result", ", ".join(parts))]


def _echo(last: Execution, attempt: Attempt) -> Diagnosis:
    """Return whether an execution can be recognized by what its kickoff sent."""
    if attempt.attempt_id in last.answer:
        return ok("meta", "the crew returns `meta`, so that an execution can be recognized by its attempt")
    return ok("meta", "the crew does not return `meta` in status answers")
