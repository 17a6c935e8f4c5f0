"""The command-line options that control how a job file is read."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFileOptions:
    """The command-line options about a job file; each takes precedence over the file."""

    crew_url: str | None = None
    """URL of the file's single crew, or of the one named `default`; of a bare rows file: its crew's URL. Default for
    a bare rows file: CREW_URL."""
    crew_token: str | None = None
    """Token of that crew."""
    token_file: Path | None = None
    """The file that the token was read from."""
    encoding: str | None = None
    """Encoding of CSV, TSV and JSONL files whose entry names none; None: UTF-8, with or without a byte order mark."""
    delimiter: str | None = None
    """Delimiter of CSV files whose entry names none; None: detected in each file."""
    sheet: str | None = None
    """Sheet of workbooks whose entry names none; None: the first one that is not hidden."""
    allow_outside: bool = False
    """Accept rows files outside the job file's folder."""
