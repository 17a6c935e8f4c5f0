"""The servers that run a crew's executions: the one that the job file names, and former ones."""

from typing import TYPE_CHECKING, Protocol

from batchcrew.engine.context import RunEnvironment
from batchcrew.engine.limits.silence import Silence
from batchcrew.engine.observe.deadline import LASTING_TIMES
from batchcrew.model.crew_answers import Unclear
from batchcrew.model.events import WatchFormerAddress

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient


class Server(Protocol):
    """A server that runs executions of a crew, and what its answers to status requests mean for the run."""

    @property
    def client(self) -> "CrewClient": ...

    def status_known(self) -> None:
        """Record a clear answer."""
        ...

    def status_unclear(self, answer: Unclear, times: int) -> bool:
        """Record an answer that is not a status.

        Args:
            times: such answers in a row about the same execution.

        Returns:
            False when this run does not poll the server any more.
        """
        ...

    def give_up(self, reason: str) -> None:
        """Stop polling the server in this run."""
        ...


class FormerAddress:
    """A server at which executions of an earlier run were started; the job file now names another address.

    Its answers do not affect the limits of the crew's present server. If it no longer exists, the run continues.

    Args:
        give_up: seconds without a clear answer after which it is given up.
        single_pass: True in a tick.
    """

    def __init__(
        self,
        crew: str,
        url: str,
        client: "CrewClient",
        *,
        environment: RunEnvironment,
        give_up: float,
        single_pass: bool,
    ) -> None:
        self.crew = crew
        self.url = url
        self.client = client
        self._environment = environment
        self._single_pass = single_pass
        self._silence = Silence(environment.clock, give_up=give_up)
        self._given_up: str | None = None

    @property
    def given_up(self) -> str | None:
        """The reason why this run no longer polls it, or None."""
        return self._given_up

    def status_known(self) -> None:
        """Record a clear answer."""
        self._silence.ended()

    def status_unclear(self, answer: Unclear, times: int) -> bool:
        """Record an answer that is not a status (see `Server`)."""
        if answer.local:
            return True
        self._silence.lasts(answer.reason)
        if self._given_up is None and not self._silence.gives_up_in():
            self.give_up(str(self._silence))
        elif self._single_pass and times > LASTING_TIMES:
            self._environment.warn(f"crew {self.crew}: {self.url} reports no status for its executions")
        return self._given_up is None

    def give_up(self, reason: str) -> None:
        """Stop polling it in this run."""
        if self._given_up is None:
            self._given_up = reason
            left = f"crew {self.crew}: executions at {self.url} are left for the next run: {reason}"
            self._environment.warn(left, action=WatchFormerAddress(self.crew, self.url))
