"""Values that the parts of a run share and that are passed in together. `RunControl` changes two of them in a run."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from batchcrew.base.clock import Clock
from batchcrew.config.crews import CrewSettings
from batchcrew.config.settings import RunSettings
from batchcrew.engine.judging import Judging
from batchcrew.engine.stopping import Stop
from batchcrew.engine.webhooks import Webhooks
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.model.events import Action, ConcurrencyChanged, Observe, Warned

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient


@dataclass(frozen=True, slots=True)
class RunEnvironment:
    """Everything that the caller of a run provides: its stop, its clock, its random numbers, and the receiver of its
    events.

    Args:
        verbose: whether `observe` gets an event for each status request, too; most receivers ignore them.
    """

    stop: Stop
    clock: Clock
    rng: random.Random
    observe: Observe
    verbose: bool = True

    def warn(self, message: str, *, lasting: bool = False, action: Action | None = None) -> None:
        """Report a warning."""
        self.observe(Warned(message, lasting=lasting, action=action))


class SettingsChanger(Protocol):
    """Applies settings that `batchcrew set` has replaced, outside the engine."""

    async def apply(self, overrides: Mapping[str, Any]) -> RunSettings:
        """Prepare the run for settings of the job file in which these values are replaced; return the settings.

        Raises:
            UsageError: a value is not valid, or cannot be used on this machine.
        """
        ...


@dataclass(slots=True, kw_only=True)
class RunContext:
    """One run of a batch: where it is recorded, its settings, and its environment.

    Args:
        settings: decided by the job file, the options and `batchcrew set`; `RunControl` replaces them during the run.
        changer: applies other settings during the run; None: the run reads no commands of operators.
        run_id: the run's id in the ledger; the ids of its attempts begin with it.
        single_pass: True for a tick, which does the work that is due now and returns.
        judging: applies the job file's rules to answers; None: every answer counts.
        expect: called when the canary has passed, to forecast the rest; None: no forecast.
        webhooks: what crews send about executions; None: kickoffs request no webhooks.
    """

    environment: RunEnvironment
    ledger: Ledger
    batch: BatchKey
    run_id: str
    settings: RunSettings
    single_pass: bool = False
    judging: Judging | None = None
    changer: SettingsChanger | None = None
    paused: bool = False
    """An operator has paused the batch: nothing may start."""
    webhooks: Webhooks | None = None
    expect: Callable[[], Awaitable[None]] | None = None

    @property
    def stop(self) -> Stop:
        return self.environment.stop

    @property
    def clock(self) -> Clock:
        return self.environment.clock

    @property
    def rng(self) -> random.Random:
        return self.environment.rng

    @property
    def observe(self) -> Observe:
        return self.environment.observe

    def slots_changed(self, crew: str, before: int, after: int, reason: str) -> None:
        """Record and report a change that `concurrency: auto` has made."""
        self.ledger.concurrency_changed(self.run_id, crew, after, reason)
        self.observe(ConcurrencyChanged(crew, before, after, reason))

    def warn(self, message: str, *, lasting: bool = False, action: Action | None = None) -> None:
        """Report a warning."""
        self.environment.warn(message, lasting=lasting, action=action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crews:
    """The crews of a run, by the names that the job file gives them, with an open client for each."""

    settings: Mapping[str, CrewSettings]
    clients: "Mapping[str, CrewClient]"
    former: "Mapping[tuple[str, str], CrewClient]" = field(default_factory=dict)
    """Open clients for former addresses at which executions are in progress, by crew and address."""
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The name that a crew has now, by its former name and its address."""
