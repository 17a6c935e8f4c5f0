"""The figures of the report of a batch, independent of the format.

`batchcrew/app/report.py` reads a `Report`; `batchcrew/reports/report/` writes it as text, Markdown, JSON or HTML.
Nothing here grows with the number of jobs: lists are bounded, and a field next to them counts what is not listed.

Moments are UTC ISO-8601 text, as in the ledger. Texts of crews and files (names, reasons) are not cleaned: code that
prints them must escape them.
"""

from dataclasses import dataclass, field

from batchcrew.model.failures import FailureGroup, GroupDetail
from batchcrew.model.report_times import Distribution, Duration, Throughput, Timeline
from batchcrew.model.run import Counts
from batchcrew.model.views import RunLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The cost of the kickoffs of a batch.

    Costs are texts: `12.50 USD`, a range, or several currencies; None if no price is known.
    """

    kickoffs: int = 0
    """Kickoffs that were not refused."""
    spent: str | None = None
    """Their cost; a range while some of them are in doubt."""
    wasted_kickoffs: int = 0
    """The `kickoffs` whose execution has ended without an accepted answer, including those in doubt."""
    wasted: str | None = None
    reused_answers: int = 0
    """Answers that jobs took over from jobs with the same inputs, or got back with their former inputs."""
    saved: str | None = None
    """The cost of as many kickoffs, at the crew's latest known price."""
    unpriced_kickoffs: int = 0
    """The `kickoffs` whose price is not known; `spent` does not include them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens, as the crews report them; None: no crew reported any."""

    total: int | None = None
    wasted: int | None = None
    """The part of `total` for executions that ended without an accepted answer."""
    attempts: int = 0
    """Attempts that reported tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFailures:
    """One failure group of the report."""

    group: FailureGroup
    detail: GroupDetail
    share: float
    """Share of all jobs of the batch, from 0 to 1."""
    share_of_failures: float
    retry: str
    """The command that resets just these jobs to pending."""
    show: str
    """The command that shows the example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewJobs:
    """The jobs of one crew."""

    crew: str
    counts: Counts
    """`removed` and `possible_duplicates` are 0: they are not known by crew."""
    address: str = ""
    """The address in the latest run, without secrets."""
    price: str | None = None
    """The price of one kickoff in the latest run, `0.50 USD`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCommand:
    """A command that you may call next."""

    purpose: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a report shows about one batch, as of one moment."""

    batch: str
    jobfile: str
    ledger: str
    written_at: str
    """When the figures were read."""
    running: bool
    """True: a run is working, so the figures are not final."""
    verdict: str
    """The result of the batch in one plain sentence."""
    good: bool
    """Whether every job has succeeded."""
    counts: Counts
    without_output: int = 0
    """Jobs that succeeded without an output."""
    crews: tuple[CrewJobs, ...] = ()
    """The first few hundred by name."""
    money: Money = field(default_factory=Money)
    tokens: Tokens = field(default_factory=Tokens)
    duration: Duration = field(default_factory=Duration)
    throughput: Throughput = field(default_factory=Throughput)
    timeline: Timeline = field(default_factory=Timeline)
    durations: tuple[Distribution, ...] = ()
    """By crew, then by task; the most frequent first."""
    failures: tuple[ReportedFailures, ...] = ()
    """The largest groups."""
    more_failure_groups: int = 0
    more_failed_jobs: int = 0
    """Number of jobs in the groups that are not listed."""
    runs: tuple[RunLine, ...] = ()
    """The latest runs, the newest first."""
    more_runs: int = 0
    next: tuple[NextCommand, ...] = ()
    """Possible next steps, the likeliest first."""
