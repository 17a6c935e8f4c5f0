"""Fit a run's concurrency to the file descriptors that this process may open, before anything starts."""

from collections.abc import Mapping

from batchcrew.base import descriptors
from batchcrew.base.errors import UsageError
from batchcrew.config.crews import CrewSettings, DemoCrew, ServedCrew
from batchcrew.config.settings import RunSettings

RESERVE = 4
"""Descriptors that are open for a short time: name servers, certificates, rows files, SQLite's temporary files."""
LEDGER = 5
"""Descriptors of the ledger: the database and its WAL twice, to write and to read, and the shared memory."""
SERVER = 12
"""Descriptors of a crew server in this process: its socket, its database."""
WORKER = 6
"""Descriptors of a served crew's worker process: its pipes."""


def require_descriptors(crews: Mapping[str, CrewSettings]) -> None:
    """Check that there are descriptors for the ledger and one execution at a time. It blocks: call it in a thread.

    Raises: UsageError: there are too few; the message says how many descriptors a run needs.
    """
    least = descriptors.in_use() + LEDGER + needed(1, crews)
    limit = descriptors.raise_limit(least)
    if limit is not None and limit < least:
        raise _too_few(limit, least)


def fit_concurrency(settings: RunSettings, crews: Mapping[str, CrewSettings]) -> tuple[RunSettings, str | None]:
    """Raise the limit of descriptors to what the run may need; if that fails, lower its concurrency, with a warning.

    It blocks: call it in a thread.

    Raises:
        UsageError: not even one execution at a time can be watched.
    """
    used, most = descriptors.in_use(), settings.most_in_progress
    limit = descriptors.raise_limit(used + needed(most, crews))
    if limit is None or used + needed(most, crews) <= limit:
        return settings, None
    fits = [number for number in range(1, most) if used + needed(number, crews) <= limit]
    if not fits:
        raise _too_few(limit, used + needed(1, crews))
    all_of_it = used + needed(most, crews)
    warning = (
        f"concurrency is lowered from {most} to {fits[-1]}: this process may open only {limit} file"
        f" descriptors; raise the hard limit of `ulimit -n` to {all_of_it} to use the full concurrency"
    )
    key = "max_concurrency" if settings.adaptive else "concurrency"
    return settings.model_copy(update={key: fits[-1]}), warning


def _too_few(limit: int, least: int) -> UsageError:
    return UsageError(f"too few file descriptors: {limit} (a run needs at least {least}); raise `ulimit -n` to {least}")


def needed(concurrency: int, crews: Mapping[str, CrewSettings]) -> int:
    """Return the descriptors that a run may hold at once, in addition to those that are open before it starts."""
    number = RESERVE
    server = False
    for crew in crews.values():
        slots = min(crew.concurrency or concurrency, concurrency)
        number += 2 * slots  # one for its kickoff, and one for its polls, which is kept while it is idle
        if isinstance(crew, DemoCrew | ServedCrew):
            number += 2 * slots  # the other ends of both
            server = True
        if isinstance(crew, ServedCrew):
            number += SERVER + WORKER * crew.serve.workers
    return number + (SERVER if server else 0)
