"""Control a batch while it runs: pause, unpause, set, cancel, stop.

Each command is one short transaction on the ledger, which a run of another process allows. The run looks for commands
each second, a tick at its start; `batchcrew/engine/control.py` applies them.
"""

import getpass
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import yaml

from batchcrew.app.batches import known_batch
from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import BatchBusy, UsageError
from batchcrew.base.similar import did_you_mean
from batchcrew.config.settings import CHANGEABLE, RunSettings, with_set_values
from batchcrew.ledger import BatchKey, BatchLock, Ledger, LedgerReader
from batchcrew.model.control import Control, Given

WAIT_SECONDS = 5.0
"""How long a command waits for a run to start, or to stop watching executions."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRequest:
    """The batch that is controlled, and the reason for the command."""

    ledger: Path
    batch: str
    clock: Clock
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The state of the batch before and after a command."""

    running: bool
    """Whether a run holds the batch."""
    before: Given | None = None
    """After pause and unpause: who had paused it."""
    reset: tuple[str, ...] = ()
    """After `set --reset`: the settings that had been replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelResult:
    """The numbers of jobs that `cancel` changed."""

    pending: int
    let_go: int
    """Jobs whose execution was in progress, and is not watched any more."""
    requested: int
    """Jobs whose execution the run in progress still watches."""
    ended: int
    """Jobs whose execution had ended by then."""


def operator() -> str:
    """Return who gives the command: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@asynccontextmanager
async def _opened(request: ControlRequest) -> AsyncIterator[tuple[Ledger, BatchKey, Given]]:
    async with Ledger(request.ledger, clock=request.clock) as ledger:
        key = await known_batch(ledger, request.batch)
        yield ledger, key, ledger.given(operator(), request.reason or None)


async def pause(request: ControlRequest) -> CommandResult:
    """Start no jobs of the batch until `unpause`.

    Raises:
        NotInLedger: the batch was not found.
    """
    async with _opened(request) as (ledger, key, given):
        before = await ledger.pause(key, given)
        return CommandResult(running=await ledger.is_running(key), before=before)


async def unpause(request: ControlRequest) -> CommandResult:
    """End the pause of the batch.

    Raises:
        NotInLedger: the batch was not found.
    """
    async with _opened(request) as (ledger, key, given):
        before = await ledger.unpause(key, given)
        return CommandResult(running=await ledger.is_running(key), before=before)


def parse_assignments(words: Sequence[str]) -> dict[str, Any]:
    """Return the settings of `NAME=VALUE` words, checked as those of a job file.

    Raises:
        UsageError: a word is not an assignment, its name is unknown, or its value is not valid.
    """
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"invalid setting: {word!r} (expected NAME=VALUE, such as concurrency=5)")
        name = checked_name(name)
        if name in values:
            raise UsageError(f"duplicate setting: {name!r} (expected each once)")
        values[name] = _parsed(name, text.strip())
    with_set_values(RunSettings(), values)
    return values


def checked_name(name: str) -> str:
    """Return the key of a setting that can be set; `max-kickoffs` is `max_kickoffs`.

    Raises:
        UsageError: it is unknown, or a setting that only a job file can change.
    """
    key = name.strip().replace("-", "_")
    if key in CHANGEABLE:
        return key
    if key in RunSettings.model_fields:
        raise UsageError(
            f"{key} cannot be set (only {', '.join(CHANGEABLE)}); change it in the job file, for the next run"
        )
    hint = did_you_mean(key, CHANGEABLE) or f" (expected {', '.join(CHANGEABLE)})"
    raise UsageError(f"unknown setting {name!r}{hint}")


def _parsed(name: str, text: str) -> Any:
    if text.lower() == "none":
        return None
    if not text.startswith("{"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"invalid {name}: {text!r} (expected e.g. {{run: 100, batch: 1000}})") from None


async def change_settings(request: ControlRequest, values: Mapping[str, Any]) -> CommandResult:
    """Replace settings of the job file until they are reset.

    Raises:
        NotInLedger: the batch was not found.
    """
    async with _opened(request) as (ledger, key, given):
        await ledger.change_settings(key, values, given)
        return CommandResult(running=await ledger.is_running(key))


async def reset_settings(request: ControlRequest, names: Sequence[str]) -> CommandResult:
    """Use the job file's values again; without names, all of them.

    Raises:
        NotInLedger: the batch was not found.
    """
    async with _opened(request) as (ledger, key, given):
        reset = await ledger.reset_settings(key, names, given)
        return CommandResult(running=await ledger.is_running(key), reset=tuple(reset))


async def in_force(request: ControlRequest) -> Control:
    """Return what applies to the batch: its pause and the values of `set`.

    Raises:
        NotInLedger: the batch was not found.
    """
    async with LedgerReader(request.ledger, clock=request.clock) as ledger:
        return await ledger.control(await known_batch(ledger, request.batch))


class Stopped(Enum):
    """The result of `stop`."""

    NOTHING = auto()
    """No run is in progress; nothing was recorded."""
    NOW = auto()
    WHEN_IT_HAS_READ = auto()
    """The run still reads its job file, and ends before its first kickoff."""


async def stop(request: ControlRequest) -> Stopped:
    """Request the end of the run in progress.

    Raises:
        NotInLedger: the batch was not found.
        BatchBusy: the batch is held by a process that is not known.
    """
    clock = request.clock
    async with _opened(request) as (ledger, key, given):
        until = clock.monotonic() + WAIT_SECONDS
        while await ledger.is_running(key):
            run_id = await ledger.current_run(key)
            if run_id is not None:
                await ledger.request_stop(key, run_id, given)
                return Stopped.NOW
            if clock.monotonic() >= until:
                process = await ledger.holding_process(key)
                if process is None:
                    raise BatchBusy(f"batch {key.batch} is held by an unknown process; nothing was stopped: try again")
                await ledger.request_stop(key, process, given)
                return Stopped.WHEN_IT_HAS_READ
            await clock.sleep(LOOK_SECONDS)
        return Stopped.NOTHING


async def cancel(request: ControlRequest, job_ids: Sequence[str]) -> CancelResult:
    """Cancel pending jobs, and stop watching the executions of jobs in progress; without ids, of all jobs of the batch.

    Raises:
        NotInLedger: the batch was not found, or it does not have one of the jobs; nothing was cancelled.
    """
    async with _opened(request) as (ledger, key, given):
        done = await ledger.cancel(key, job_ids, given)
        number = len(done.in_progress)
        requested = min(number, await _let_go(ledger, key, request.clock)) if number else 0
        let_go = await ledger.cancelled(done.in_progress)
        ended = max(0, number - requested - let_go)
        return CancelResult(pending=done.pending, let_go=let_go, requested=requested, ended=ended)


async def _let_go(ledger: Ledger, key: BatchKey, clock: Clock) -> int:
    """Stop watching the cancelled executions, or wait until the run in progress has done so. Return how many are
    left."""
    until = clock.monotonic() + WAIT_SECONDS
    while left := await ledger.letting_go(key):
        if not await ledger.is_running(key):
            try:
                async with BatchLock(ledger.path, key.batch, since=to_text(clock.now())):
                    await ledger.let_go(key)
            except BatchBusy:  # a run has just begun, and will cancel them
                pass
        elif clock.monotonic() >= until:
            return left
        else:
            await clock.sleep(LOOK_SECONDS)
    return 0
