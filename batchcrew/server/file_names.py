"""Names of files and folders, made from texts that a crew or a job file contains."""

import hashlib
import json
import re
from pathlib import Path

_MAX_PART = 150
"""Bytes of a file's or folder's name."""
_MAX_SUFFIX = 16
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069/\\]+")


def safe_part(name: str) -> str:
    """Return a name that can be one part of a path: without control characters, not too long, not hidden."""
    plain = _UNSAFE.sub("_", name.encode("utf-8", "replace").decode())
    plain = "_" + plain[1:] if plain.startswith(".") else plain
    if len(plain.encode()) > _MAX_PART:
        suffix = Path(plain).suffix
        suffix = suffix if len(suffix.encode()) <= _MAX_SUFFIX else ""
        plain = plain.encode()[: _MAX_PART - len(suffix.encode())].decode("utf-8", "ignore") + suffix
    return plain or "_"


def job_folder(root: Path, job: str | None, kickoff_id: str) -> Path:
    """Return the folder for the files of an execution: ROOT/BATCH/JOB, or ROOT/KICKOFF_ID if it belongs to no job.

    Args:
        job: a JSON list of the batch and the job.
    """
    try:
        names = [str(name) for name in json.loads(job or "[]")]
    except (ValueError, TypeError):
        names = []
    return root.joinpath(*(_unique(name) for name in names or [kickoff_id]))


def _unique(name: str) -> str:
    """Return a safe name that another name does not have: where it is not the name itself, it has a digest."""
    safe = safe_part(name)
    if safe == name:
        return safe
    return f"{safe[:60]}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
