"""The reader for reports and the live page. A run does not import it, which saves a megabyte."""

from batchcrew.ledger.reader import LedgerReader
from batchcrew.ledger.reads.comparison import ComparisonReads
from batchcrew.ledger.reads.job_search import JobSearchReads
from batchcrew.ledger.reads.job_table import JobTableReads
from batchcrew.ledger.reads.report import ReportReads


class ReportReader(LedgerReader, ReportReads, ComparisonReads, JobTableReads, JobSearchReads):
    """A LedgerReader that also reads the facts of reports, compares batches, and lists and searches jobs."""
