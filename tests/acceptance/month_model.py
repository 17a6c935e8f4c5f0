"""What a batch must be after each change of its file, by the rules of docs/identity.md and without batchcrew's code."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

INPUTS = ("topic", "tone")
FAILS = "bad"
"""The crew fails on a topic that begins with this."""
MISSING = ""
"""Replaces an input that the row does not have: such a row is not kicked off."""
Inputs: TypeAlias = tuple[str, str]
State: TypeAlias = Literal["pending", "open", "succeeded", "stale", "failed"]
HAD_ANSWER: tuple[State, ...] = ("succeeded", "stale", "open")
LEAST_GUARDED = 10
GUARDED_SHARE = 0.2


@dataclass(eq=False)
class Answer:
    """An execution that was paid for. It belongs to the inputs that it was made from."""

    made_from: Inputs
    running: bool = False
    kept: Inputs | None = None
    """Other inputs that it was kept for before."""
    number: int | None = None
    """The crew's number of the execution, where a run was interrupted."""

    @property
    def failed(self) -> bool:
        """Whether it has ended, and failed."""
        return not self.running and self.made_from[0].startswith(FAILS)


@dataclass(eq=False)
class Job:
    """A row that was in the file at some time, and the executions that belong to it, the latest last."""

    job_id: str
    inputs: Inputs
    state: State = "pending"
    present: bool = True
    answers: list[Answer] = field(default_factory=list)

    @property
    def current(self) -> Answer | None:
        """The answer that the state refers to."""
        if self.state not in HAD_ANSWER or not self.answers or self.answers[-1].failed:
            return None
        return self.answers[-1]

    @property
    def has_other_inputs(self) -> bool:
        """Whether its answer was made from other inputs, and is not kept for these."""
        outdated = self.state == "open" and self.answers[-1].made_from != self.inputs
        return self.state == "stale" or outdated

    def knows(self, answer: Answer, inputs: Inputs) -> bool:
        """Whether the answer was made from these inputs, or was kept for them."""
        kept = self.state == "succeeded" and answer is self.current and self.inputs == inputs
        return kept or inputs in {answer.made_from, answer.kept}

    def end(self, answer: Answer, *, on_change_rerun: bool) -> None:
        """Its execution has ended."""
        answer.running = False
        if self.state != "open" or answer is not self.answers[-1]:
            return
        outdated = answer.made_from != self.inputs
        if answer.failed:
            self.state = "pending" if outdated else "failed"
        elif outdated:
            self.state = "pending" if on_change_rerun else "stale"
        else:
            self.state = "succeeded"


@dataclass(frozen=True)
class Row:
    """A job as the file has it."""

    job_id: str
    inputs: Inputs
    own_id: bool


class Model:
    """The expected state of the batch."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.order: list[str] = []
        """The file's ids in its order."""
        self.most: Counter[Inputs] = Counter()
        """The largest number of rows with these inputs that the file had at once."""
        self.consented: Counter[Inputs] = Counter()
        """Kickoffs beyond that number that the operator accepted."""

    @property
    def present(self) -> Iterator[Job]:
        """The file's jobs, in its order."""
        return (self.jobs[job_id] for job_id in self.order)

    def number(self, state: State) -> int:
        """How many of the file's jobs are in this state."""
        return sum(job.state == state for job in self.present)

    # A changed file

    def merge(self, rows: Sequence[Row], *, on_change_rerun: bool = False) -> bool:
        """Ingest the file. False: the plan needs consent (the model has changed anyway)."""
        succeeded = self.number("succeeded") + self.number("stale")
        in_file = {row.job_id for row in rows}
        changed = {
            row.job_id: self.jobs[row.job_id]
            for row in rows
            if (known := self.jobs.get(row.job_id)) is not None
            and (
                known.inputs != row.inputs or known.has_other_inputs or (not known.present and known.state == "pending")
            )
        }
        gone = [job for job_id, job in self.jobs.items() if job_id not in in_file]
        wanted = [row for row in rows if row.job_id in changed or row.job_id not in self.jobs]
        found = self._match(wanted, changed, gone)
        gave = {giver: row_id for row_id, (giver, answer) in found.items() if answer is giver.current}
        becomes = {job_id: self._becomes(job, found, gave, changed) for job_id, job in changed.items()}
        vanished = sum(
            job.present and job.state in {"succeeded", "stale"} and not any(job is giver for giver, _ in found.values())
            for job in gone
        )
        new_without_id = sum(not row.own_id for row in wanted if row.job_id not in {*changed, *found})
        for row in rows:
            known = self.jobs.get(row.job_id)
            if known is not None and known.inputs != row.inputs and known.state == "succeeded":
                answer = known.answers[-1]
                answer.kept = answer.kept if answer.made_from == known.inputs else known.inputs
        self._apply(rows, found, gave, becomes)
        replaced, reruns = min(vanished, new_without_id), self.number("stale") if on_change_rerun else 0
        return not any(n >= LEAST_GUARDED and n > GUARDED_SHARE * succeeded for n in (replaced, reruns))

    def _match(
        self, wanted: Sequence[Row], changed: dict[str, Job], gone: Sequence[Job]
    ) -> dict[str, tuple[Job, Answer]]:
        """Find the answer that each new or changed row takes over: its own first, each answer once."""
        former: list[tuple[Job, Answer | None]] = [
            (job, answer)
            for job in self.jobs.values()
            for answer in reversed(job.answers)
            if not answer.failed and answer is not job.current
        ]
        latest = [(job, job.current) for job in self.jobs.values() if job in gone or job.job_id in changed]
        free = latest + former
        found: dict[str, tuple[Job, Answer]] = {}

        def look(row: Row, *, own: bool, running: bool) -> bool:
            """Give the row the first answer that it may have."""
            job = changed.get(row.job_id)
            if running and not own and any(giver is job and answer and answer.running for giver, answer in free):
                return False  # one execution in progress is enough
            for giver, answer in free:
                if answer is None or not giver.knows(answer, row.inputs):
                    continue
                if giver is job if own else answer.running == running:
                    found[row.job_id] = giver, answer
                    free.remove((giver, answer))
                    return True
            return False

        for row in wanted:
            look(row, own=True, running=False)
        more = True
        while more:
            more = False
            for running in (False, True):
                for row in wanted:
                    if row.job_id not in found:
                        more |= look(row, own=False, running=running)
        return found

    @staticmethod
    def _becomes(
        job: Job, found: dict[str, tuple[Job, Answer]], gave: dict[Job, str], changed: dict[str, Job]
    ) -> State:
        if job.job_id in found:
            return job.state  # `_apply` sets the state
        # where its answer, and that of the job which took it, and so on, went to a row that had none, a row was added
        giver: Job | None = job
        while giver is not None and giver in gave:
            taker = changed.get(gave[giver])
            if taker is None or taker.state not in HAD_ANSWER:
                return "pending"
            giver = taker
        if job.state in {"succeeded", "stale"} or job in gave:
            return "stale"
        return "open" if job.state == "open" else "pending"

    def _apply(
        self,
        rows: Sequence[Row],
        found: dict[str, tuple[Job, Answer]],
        gave: dict[Job, str],
        becomes: dict[str, State],
    ) -> None:
        givers = {giver for giver, _ in found.values()}
        for giver, answer in found.values():
            giver.answers.remove(answer)
        self.order = [row.job_id for row in rows]
        for row in rows:
            job = self.jobs.setdefault(row.job_id, Job(row.job_id, row.inputs))
            job.inputs = row.inputs
            job.state = becomes.get(row.job_id, job.state)
        for job_id, (_, answer) in found.items():
            taker = self.jobs[job_id]
            taker.answers.append(answer)
            taker.state = "open" if answer.running else "succeeded"
        in_file = set(self.order)
        for job in list(self.jobs.values()):
            job.present = job.job_id in in_file
            if not job.present and job in gave:
                job.state = "pending"
            if not job.present and job in givers and not job.answers:
                del self.jobs[job.job_id]
        for inputs, number in Counter(row.inputs for row in rows).items():
            self.most[inputs] = max(self.most[inputs], number)

    # What the operator agrees to

    def rerun_changed(self) -> None:
        """Put stale jobs back: `--rerun-changed`, or `on_change: rerun`."""
        for job in self.present:
            if job.state == "stale":
                job.state = "pending"
                self.consented[job.inputs] += 1

    def retry_failed(self) -> None:
        """Put failed jobs back."""
        for job in self.present:
            if job.state == "failed":
                job.state = "pending"

    def keep(self) -> int:
        """Keep the answers of stale jobs for their new inputs. Returns how many."""
        kept = 0
        for job in self.present:
            if job.state == "stale" and job.current is not None:
                # the answer no longer belongs to the inputs that it was made from
                self.consented[job.current.made_from] += 1
                job.state = "succeeded"
                kept += 1
        return kept

    # What the crew does

    def pending(self) -> Counter[Inputs]:
        """Return the inputs that a run kicks off."""
        return Counter(job.inputs for job in self.present if job.state == "pending")

    def check_inputs(self) -> bool:
        """Fail pending jobs that miss an input. False: most jobs do, and nothing starts."""
        missing = [job for job in self.present if job.state == "pending" and MISSING in job.inputs]
        if len(missing) * 2 > len(self.order):
            return False
        for job in missing:
            job.state = "failed"
        return True

    def ready(self) -> int:
        """Return how many pending jobs can start immediately: they have no execution in progress."""
        return sum(job.state == "pending" and not any(a.running for a in job.answers) for job in self.present)

    def kick_off(self, job_id: str, inputs: Inputs, *, number: int | None = None) -> str | None:
        """Record an accepted kickoff; returns an error if it should not have been sent."""
        job = self.jobs.get(job_id)
        if job is not None and job.state == "open" and job.answers[-1].made_from != job.inputs:
            job.end(job.answers[-1], on_change_rerun=True)  # it must have ended
        if job is None or not job.present or job.state != "pending" or job.inputs != inputs:
            return f"{job_id} was kicked off with {inputs}, and it is {job}"
        job.state = "open"
        job.answers.append(Answer(inputs, running=True, number=number))
        return None

    def finish(self, *, on_change_rerun: bool = False) -> None:
        """Every execution in progress ends, also of rows that left the file."""
        for job in self.jobs.values():
            for answer in job.answers:
                if answer.running:
                    job.end(answer, on_change_rerun=on_change_rerun)
                    if on_change_rerun and job.state == "pending" and not answer.failed:
                        self.consented[job.inputs] += 1

    def end(self, numbers: set[int], *, on_change_rerun: bool) -> None:
        """These executions have ended, in a run that did not come to its end."""
        for job in self.jobs.values():
            for answer in job.answers:
                if answer.running and answer.number in numbers:
                    job.end(answer, on_change_rerun=on_change_rerun)

    def full_run(self, *, on_change_rerun: bool = False) -> Counter[Inputs]:
        """Run to the end; returns the inputs that the crew must have received."""
        sent: Counter[Inputs] = Counter()
        if not self.number("pending") and not self.number("open"):
            return sent  # executions of rows that left the file are left alone
        while True:
            stops = not self.check_inputs()
            for job in self.present if not stops else ():
                if job.state == "pending" and not any(answer.running for answer in job.answers):
                    sent[job.inputs] += 1
                    self.kick_off(job.job_id, job.inputs)
            if not any(answer.running for job in self.jobs.values() for answer in job.answers):
                return sent
            self.finish(on_change_rerun=on_change_rerun)
