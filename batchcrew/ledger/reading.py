"""All read methods of a ledger, for any class with a connection to it. None of them changes it."""

from batchcrew.ledger.reads.answers import AnswerReads
from batchcrew.ledger.reads.attempts import AttemptReads
from batchcrew.ledger.reads.batches import BatchReads
from batchcrew.ledger.reads.comparison import ComparisonReads
from batchcrew.ledger.reads.controls import ControlReads
from batchcrew.ledger.reads.failures import FailureReads
from batchcrew.ledger.reads.history import HistoryReads
from batchcrew.ledger.reads.job_search import JobSearchReads
from batchcrew.ledger.reads.job_table import JobTableReads
from batchcrew.ledger.reads.jobs import JobReads
from batchcrew.ledger.reads.money import MoneyReads
from batchcrew.ledger.reads.rechecks import RecheckReads
from batchcrew.ledger.reads.report import ReportReads
from batchcrew.ledger.reads.results import ResultReads
from batchcrew.ledger.reads.runs import RunReads
from batchcrew.ledger.reads.status import StatusReads
from batchcrew.ledger.reads.waits import WaitReads


class Reading(
    BatchReads,
    JobReads,
    JobTableReads,
    AttemptReads,
    RecheckReads,
    RunReads,
    StatusReads,
    ResultReads,
    FailureReads,
    AnswerReads,
    ControlReads,
    WaitReads,
    JobSearchReads,
    ReportReads,
    ComparisonReads,
    MoneyReads,
    HistoryReads,
):
    """The read methods that `Ledger` and `LedgerReader` share.

    Every method raises `LedgerError` when the file cannot be read.
    """
