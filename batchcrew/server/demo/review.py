"""The demo crew's human task: its first task waits until its output is approved, and is repeated with feedback.

The table exists in addition to the state's schema, so that servers of earlier versions can still read the file.
"""

import sqlite3
from dataclasses import dataclass

TABLE = """
CREATE TABLE IF NOT EXISTS human_tasks (
    kickoff_id TEXT PRIMARY KEY,
    pause_at REAL NOT NULL,    -- seconds since the epoch, as all moments here
    rejected INTEGER NOT NULL, -- how often its output was rejected
    answers INTEGER NOT NULL,  -- how often it was answered
    feedback TEXT NOT NULL,    -- the latest one
    approved_at REAL
) STRICT
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The state of the human task of an execution. Moments are seconds since the epoch."""

    pause_at: float
    rejected: int = 0
    """Number of rejections of its output."""
    answers: int = 0
    """Number of answers: approvals and rejections."""
    feedback: str = ""
    approved_at: float | None = None

    def waits(self, now: float) -> bool:
        """Return whether the execution waits for human input."""
        return self.approved_at is None and now >= self.pause_at

    def revised(self, output: str) -> str:
        """Return the task's output, revised with the feedback."""
        return f"{output}\nRevision {self.rejected}: {self.feedback}" if self.rejected else output


def save(connection: sqlite3.Connection, kickoff_id: str, review: Review) -> None:
    """Store the review of an execution."""
    connection.execute(
        "INSERT OR REPLACE INTO human_tasks VALUES (?, ?, ?, ?, ?, ?)",
        (kickoff_id, review.pause_at, review.rejected, review.answers, review.feedback, review.approved_at),
    )


def read(connection: sqlite3.Connection, kickoff_id: str) -> Review | None:
    """Return the review of an execution; None if it has no human task."""
    row = connection.execute(
        "SELECT pause_at, rejected, answers, feedback, approved_at FROM human_tasks WHERE kickoff_id = ?", (kickoff_id,)
    ).fetchone()
    if row is None:
        return None
    return Review(pause_at=row[0], rejected=row[1], answers=row[2], feedback=row[3], approved_at=row[4])
