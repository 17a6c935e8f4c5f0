"""A job file that was read: its settings, and its jobs as a stream."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from batchcrew.base.errors import JobFileError, Problem
from batchcrew.config.crews import CrewSettings, RemoteCrew
from batchcrew.config.settings import RunSettings
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.jobfile.answer_rules import JobFileRules
from batchcrew.jobfile.description import RowsDescription, describe
from batchcrew.jobfile.entries import Entry, Rows
from batchcrew.jobfile.notify import Telling
from batchcrew.jobfile.problems import Problems, listed, named
from batchcrew.jobfile.rows.questions import Question, questions_about
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.jobfile.rows.unfinished import Stamp, stamp
from batchcrew.jobfile.sending import Sending
from batchcrew.model.job import Job
from batchcrew.model.sheets import RowsLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The data that determines the jobs of a job file."""

    entries: tuple[Entry, ...] = field(repr=False)
    shape: bytes = field(repr=False)
    """The parts of the document, the options and the date that determine the jobs."""
    dated: bool
    """The name of the batch, or its jobs, depend on the date."""


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """A job file whose head is valid. Its rows are read, and checked, by `jobs`."""

    path: Path
    batch: str
    crews: Mapping[str, CrewSettings]
    """By name; the name of a single crew is DEFAULT_CREW."""
    run: RunSettings
    content: Content
    warnings: tuple[str, ...] = ()
    """Sentences about values that are allowed and may be mistakes, each with its place."""
    ledger: Path | None = None
    """The ledger that the job file names."""
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    """The settings of webhooks."""
    rules: JobFileRules = field(default_factory=JobFileRules, compare=False)
    """When an answer counts."""
    reports: tuple[str, ...] = ()
    """The reports and exports that are written at the end of a run."""
    telling: Telling = field(default_factory=Telling, compare=False)
    """The receivers of notifications about the batch."""

    @property
    def dated(self) -> bool:
        """Whether the name of the batch, or its jobs, depend on the date."""
        return self.content.dated

    @property
    def undecided_crews(self) -> frozenset[str]:
        """Crews whose answer to `/inputs` decides which columns of a rows file they are sent."""
        entries = self.content.entries
        return frozenset(entry.undecided_crew for entry in entries if entry.undecided_crew is not None)

    @property
    def has_rows_files(self) -> bool:
        """Whether jobs come from rows files."""
        return bool(self._rows_paths())

    def jobs(self, problems: Problems, sending: Sending | None = None) -> Iterator[Job]:
        """Yield every job in the file's order. Rows are read one at a time, so memory does not grow with the file.

        A row with a mistake is added to `problems`, and reading continues until `problems.full`. Ids are not compared
        across rows, because that needs memory, or the ledger.
        """
        sending = sending or Sending()
        reserved = {name: crew.reserved_inputs for name, crew in self.crews.items() if isinstance(crew, RemoteCrew)}
        may_collide, reported = any(reserved.values()), set[tuple[str, ...]]()
        for entry in self.content.entries:
            if problems.full:
                return
            for job in entry.jobs(problems, sending):
                if may_collide and (taken := reserved.get(job.crew, frozenset()) & job.inputs.keys()):
                    key = (job.crew, *sorted(taken))
                    if key not in reported:  # a column is in every row
                        reported.add(key)
                        problems.at(job.where, _reserved(*key))
                yield job

    def describe(self) -> tuple[RowsDescription, ...]:
        """Describe each rows file, in the job file's order; the number of rows is known once `jobs` has ended."""
        return tuple(describe(file) for file in self._rows_files())

    def questions(self) -> tuple[Question, ...]:
        """Return questions about values in the rows files that may be mistakes. Reads only the beginning of each."""
        return tuple(question for file in self._rows_files() for question in questions_about(file))

    def row_warnings(self) -> tuple[str, ...]:
        """Return sentences like those of `warnings` about the rows that `jobs` has read."""
        return tuple(note for file in self._rows_files() for note in file.found.notes)

    def read_layouts(self) -> tuple[RowsLayout, ...]:
        """Return the same as `layouts` without `jobs`: reads the beginning of each rows file."""
        for file in self._rows_files():
            next(file.read(Problems()), None)
        return self.layouts()

    def layouts(self) -> tuple[RowsLayout, ...]:
        """Return how each rows file that `jobs` has read was written, in the job file's order."""
        return tuple(
            RowsLayout(file=file.name, format=file.path.suffix.lower().removeprefix("."), layout=file.found.layout)
            for file in self._rows_files()
        )

    def _rows_files(self) -> list[RowsFile]:
        """Return each rows file once, also if several entries read it in the same way."""
        files = [entry.file for entry in self.content.entries if isinstance(entry, Rows)]
        return list({(file.path, file.encoding, file.delimiter, file.sheet): file for file in files}.values())

    def _rows_paths(self) -> dict[Path, None]:
        return dict.fromkeys(entry.rows_file for entry in self.content.entries if entry.rows_file)

    def stamps(self) -> dict[Path, Stamp]:
        """Return inode, size and time of each rows file, to detect a change between `digest` and `jobs`.

        Raises:
            JobFileError: a rows file cannot be read.
        """
        stamps = {}
        for path in self._rows_paths():
            try:
                stamps[path] = stamp(path)
            except OSError as exc:
                raise _unreadable(path, exc) from None
        return stamps

    def digest(self) -> str:
        """Return the SHA-256 (hex) of everything that determines the jobs; crews' addresses and tokens do not.

        Rows files are read in chunks. A file with this digest need not be parsed again.

        Raises:
            JobFileError: a rows file cannot be read.
        """
        digest = sha256(self.content.shape)
        for path in self._rows_paths():
            content = sha256()
            try:
                with path.open("rb") as stream:
                    while chunk := stream.read(2**20):
                        content.update(chunk)
            except OSError as exc:
                raise _unreadable(path, exc) from None
            digest.update(content.digest())
        return digest.hexdigest()


def _reserved(crew: str, *names: str) -> str:
    inputs = f"the input {named(names[0])}" if len(names) == 1 else f"the inputs {listed(names)}"
    return f"{inputs} cannot be sent to crew {crew}, whose `body: flat` reserves this name; use `inputs:` to rename it"


def _unreadable(path: Path, error: OSError) -> JobFileError:
    return JobFileError([Problem(file=str(path), message=f"cannot be read: {error.strerror}")])
