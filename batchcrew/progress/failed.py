"""The latest failures of a run, by the kind of their reason."""

from collections import OrderedDict
from dataclasses import dataclass

from batchcrew.base.reasons import reason_fingerprint
from batchcrew.model.job import JobState

MOST_GROUPS = 200
"""Groups that are remembered; the one that failed longest ago is forgotten first."""
LONGEST_REASON = 2_000


@dataclass(slots=True)
class FailedGroup:
    """Attempts that did not succeed for one kind of reason, updated in place."""

    fingerprint: str
    reason: str
    """Of the latest one."""
    job_id: str
    job_state: JobState
    """Job state after the latest one; `pending`: the job is tried again."""
    count: int = 1


class FailedGroups:
    """Counts the attempts of this run that did not succeed, by the fingerprint of their reason."""

    def __init__(self) -> None:
        self._groups: OrderedDict[str, FailedGroup] = OrderedDict()

    def add(self, job_id: str, reason: str, job_state: JobState) -> None:
        """Count one attempt."""
        fingerprint, reason = reason_fingerprint(reason) or "", reason[:LONGEST_REASON]
        known = self._groups.get(fingerprint)
        if known is None:
            self._groups[fingerprint] = FailedGroup(fingerprint, reason, job_id, job_state)
            if len(self._groups) > MOST_GROUPS:
                self._groups.popitem(last=False)
            return
        known.count += 1
        known.reason, known.job_id, known.job_state = reason, job_id, job_state
        self._groups.move_to_end(fingerprint)

    def latest(self, number: int) -> list[FailedGroup]:
        """Return the groups that failed last, the largest first; safe while another thread adds to them."""
        shown = [*self._groups.copy().values()][-number:] if number > 0 else []
        return sorted(shown, key=lambda group: -group.count)
