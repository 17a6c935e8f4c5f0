"""Write the exact commands that you can call next, quoted for a shell.

Each starts with `program`: how this batchcrew was called, so that the command works as it is printed.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from batchcrew.base.quantities import DEFAULT_LEDGER

PROGRAM = "batchcrew"
CREW_OPTIONS = ("--crew-url ", "--token-file ")


def run_command(jobfile: str, ledger: str, *options: str, program: str = PROGRAM) -> str:
    """Return the command that starts or resumes the batch of `jobfile`."""
    return _command(program, "run", [jobfile], options, ledger)


def retry_command(batch: str, ledger: str, *options: str, program: str = PROGRAM, job_ids: Sequence[str] = ()) -> str:
    """Return the command that resets ended jobs (all of them if none is named) to pending."""
    return _command(program, "retry", [batch, *job_ids], options, ledger)


def keep_command(batch: str, ledger: str, *, program: str = PROGRAM) -> str:
    """Return the command that accepts the answers of stale jobs for their new inputs."""
    return _command(program, "keep", [batch], (), ledger)


def attach_command(
    batch: str, job_id: str, ledger: str, program: str = PROGRAM, *, kickoff_id: str = "KICKOFF_ID"
) -> str:
    """Return the command that assigns a kickoff_id to a job; the operator fills in a kickoff_id that is unknown."""
    return _command(program, "attach", [batch, job_id, kickoff_id], (), ledger)


def recheck_command(batch: str, ledger: str, *options: str, program: str = PROGRAM) -> str:
    """Return the command that polls again the executions that timed out or were lost.

    Of the `options` by which the job file was read, it takes those that say where the crew is, and its token.
    """
    wanted = [option for option in options if option.startswith(CREW_OPTIONS)]
    return _command(program, "recheck", [batch], wanted, ledger)


def status_command(batch: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the command that shows the state of the batch."""
    return _command(program, "status", [batch], (), ledger)


def control_command(name: str, batch: str, ledger: str, *options: str, program: str = PROGRAM) -> str:
    """Return the command that controls the batch: `pause`, `unpause`, `set`, `cancel` or `stop`."""
    return _command(program, name, [batch], options, ledger)


def failures_command(batch: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the command that explains the failures of the batch."""
    return _command(program, "failures", [batch], (), ledger)


def answer_command(batch: str, ledger: str, program: str = PROGRAM, *, job_id: str = "JOB") -> str:
    """Return the command that approves a job; the operator fills in a job that is not named."""
    return _command(program, "answer", [batch, job_id], ("--approve",), ledger)


def inbox_command(batch: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the command that shows the jobs that wait for human input."""
    return _command(program, "inbox", [batch], (), ledger)


def show_command(batch: str, job_id: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the command that shows one job."""
    return _command(program, "show", [batch, job_id], (), ledger)


def export_command(batch: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the command that exports the batch's results next to the columns of its file."""
    output = quoted(f"{file_name(batch)}-results.csv")
    return _command(program, "export", [batch], ("-f csv", f"-o {output}"), ledger)


def report_command(batch: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the command that reports on the batch."""
    return _command(program, "report", [batch], (), ledger)


def compare_command(batch: str, other: str, ledger: str, program: str = PROGRAM) -> str:
    """Return the command that compares a batch with a later one."""
    return _command(program, "compare", [batch, other], (), ledger)


def file_name(batch: str) -> str:
    """Return the beginning of the names of a batch's files."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in batch).strip("-.") or "batch"


def _command(program: str, name: str, words: Sequence[str], options: Sequence[str], ledger: str) -> str:
    said = [*options]
    if ledger and Path(ledger) != Path(DEFAULT_LEDGER):
        said.append(f"--ledger {quoted(ledger)}")
    arguments = [quoted(word) for word in words]
    if any(word.startswith("-") for word in words):  # or it would be taken for an option
        return " ".join([program, name, *said, "--", *arguments])
    return " ".join([program, name, *arguments, *said])


def quoted(word: str) -> str:
    """Return `word` quoted as one word of a shell, on one line without control characters.

    What cannot be printed (an escape sequence in a batch's name) is written as `$'\\x1b'`, which bash and zsh read; and
    so are blanks in a row, which a line of text shows as one.
    """
    if word.isprintable() and "  " not in word:
        return shlex.quote(word)
    return "$'" + "".join(map(_inside_ansi_c, word)).replace("  ", " \\x20") + "'"


def _inside_ansi_c(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file's name that is not UTF-8, as Python keeps it
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x80 else f"\\U{number:08x}"
