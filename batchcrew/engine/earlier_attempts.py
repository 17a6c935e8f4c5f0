"""Find the attempts that earlier runs left open, assign each to its crew, and decide how it continues."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from batchcrew.crew import crew_address
from batchcrew.engine.addresses import FormerAddress
from batchcrew.engine.context import Crews, RunContext
from batchcrew.model.attempt import Attempt, AttemptState
from batchcrew.model.run import StopReason


@dataclass(slots=True)
class OpenAttempts:
    """Open attempts of crews in the job file."""

    kicked_off: list[Attempt] = field(default_factory=list)
    """Their executions are watched."""
    in_doubt: dict[str, list[Attempt]] = field(default_factory=dict)
    """By crew: the kickoff may have been sent, and no answer is known."""


class EarlierAttempts:
    """Finds the open attempts of earlier runs, and the servers that run their executions."""

    def __init__(self, context: RunContext, crews: Crews) -> None:
        self._context = context
        self._crews = crews
        give_up = context.settings.breaker.give_up
        self._former = {
            (crew, url): FormerAddress(
                crew,
                url,
                client,
                environment=context.environment,
                give_up=give_up,
                single_pass=context.single_pass,
            )
            for (crew, url), client in crews.former.items()
        }

    def former_addresses(self, crew: str) -> Mapping[str, FormerAddress]:
        """Return the former addresses of a crew."""
        return {url: former for (name, url), former in self._former.items() if name == crew}

    async def read(self) -> OpenAttempts:
        """Return the open attempts; report the crews that are not in the job file, and those with a new address."""
        found = OpenAttempts()
        unknown: Counter[str] = Counter()
        for state, attempt in await self._context.ledger.open_attempts(self._context.batch):
            if attempt.crew not in self._crews.settings:
                attempt = self._under_its_new_name(attempt)
            if attempt.crew not in self._crews.settings:
                unknown[attempt.crew] += 1
            elif state is AttemptState.KICKED_OFF:
                found.kicked_off.append(attempt)
            else:
                found.in_doubt.setdefault(attempt.crew, []).append(attempt)
        self._report_former(found.kicked_off)
        for crew, number in unknown.items():
            left = "1 execution" if number == 1 else f"{number} executions"
            missing = f"crew {crew} not found in the job file: {left} not watched"
            self._context.warn(f"{missing}; add it again, and the next run resumes")
        return found

    def has_moved(self, attempt: Attempt) -> bool:
        """Return whether the attempt's crew has another address now; its server does not know the attempt's key."""
        return attempt.address not in {None, self._address(attempt.crew)}

    def report_given_up(self) -> None:
        """Stop the run if a former address was given up, because its work is left."""
        for (crew, url), former in self._former.items():
            if former.given_up is not None:
                detail = f"crew {crew} at {url}: {former.given_up}"
                self._context.stop.request(StopReason.CREW_UNUSABLE, detail, leave=False)

    def _under_its_new_name(self, attempt: Attempt) -> Attempt:
        name = self._crews.renamed.get((attempt.crew, attempt.address or ""))
        return attempt if name is None else replace(attempt, crew=name)

    def _report_former(self, attempts: list[Attempt]) -> None:
        """Report each former address at which executions are watched, once."""
        for crew, url in dict.fromkeys((attempt.crew, attempt.address or "") for attempt in attempts):
            if (crew, url) in self._former:
                watched = f"crew {crew}: executions started at {url} are still watched there"
                self._context.warn(f"{watched}; the job file now names {self._address(crew)}", lasting=True)

    def _address(self, crew: str) -> str:
        return crew_address(self._crews.settings[crew])
