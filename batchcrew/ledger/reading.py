"""The read methods of a ledger, for any class with a connection to it; reports have more (`report_reader.py`)."""

from batchcrew.ledger.reads.answers import AnswerReads
from batchcrew.ledger.reads.attempts import AttemptReads
from batchcrew.ledger.reads.batches import BatchReads
from batchcrew.ledger.reads.controls import ControlReads
from batchcrew.ledger.reads.failures import FailureReads
from batchcrew.ledger.reads.history import HistoryReads
from batchcrew.ledger.reads.jobs import JobReads
from batchcrew.ledger.reads.money import MoneyReads
from batchcrew.ledger.reads.rechecks import RecheckReads
from batchcrew.ledger.reads.results import ResultReads
from batchcrew.ledger.reads.runs import RunReads
from batchcrew.ledger.reads.status import StatusReads
from batchcrew.ledger.reads.waits import WaitReads


class Reading(
    BatchReads,
    JobReads,
    AttemptReads,
    RecheckReads,
    RunReads,
    StatusReads,
    ResultReads,
    FailureReads,
    AnswerReads,
    ControlReads,
    WaitReads,
    MoneyReads,
    HistoryReads,
):
    """The read methods that `Ledger` and `LedgerReader` share.

    Every method raises `LedgerError` when the file cannot be read.
    """
