"""Sends the end of an execution, whatever its output is: what has been paid for does not fail for its size."""

import os
from dataclasses import replace
from pathlib import Path

from batchcrew.server.worker.running import KEPT
from batchcrew.server.workers.frames import MAX_MESSAGE, Line, MessageTooLarge
from batchcrew.server.workers.messages import Ended, Note, plain_json

_SURE = MAX_MESSAGE // 16
"""An output with fewer characters fits in any case."""


def send_end(line: Line, ended: Ended, folder: Path | None) -> None:
    """Send the end; an output that is too large is cut, and a `result_json` that cannot be written as JSON is omitted.

    Args:
        folder: where the complete output is kept then; None if nowhere.
    """
    try:
        line.send(ended)
    except Exception as error:  # noqa: BLE001 - too large, circular, or a __str__ that raises: the end is always sent
        try:
            line.send(_shortened(ended, error, folder, line))
        except Exception as again:  # noqa: BLE001 - as above
            problem = f"its output cannot be written as JSON: {type(again).__name__}: {again}"
            line.send(replace(ended, output="", result_json=None, error=problem))


def _shortened(ended: Ended, error: Exception, folder: Path | None, line: Line) -> Ended:
    too_large = isinstance(error, MessageTooLarge)
    output, notes = ended.output, []
    if len(output) > (KEPT if too_large else _SURE):
        where = _kept(folder, f"{ended.kickoff_id}.txt", output)
        notes.append(f"This output was cut: it has {len(output):,} characters, and {KEPT:,} can be stored. {where}")
        output = output[:KEPT]
    if ended.result_json is not None and too_large:
        text = plain_json(ended.result_json)
        where = _kept(folder, f"{ended.kickoff_id}.json", text)
        notes.append(f"Its JSON was left out, because it has {len(text):,} characters. {where}")
    elif ended.result_json is not None:
        why = f"its result_json was left out: it cannot be written as JSON: {type(error).__name__}: {error}"
        line.send(Note(kickoff_id=ended.kickoff_id, text=why))
    output = "\n\n".join((output, *(f"[batchcrew: {note}]" for note in notes)))
    return replace(ended, output=output, result_json=None)


def _kept(folder: Path | None, name: str, text: str) -> str:
    """Write the text to a file that only its owner can read, and return a sentence that says where it is."""
    if folder is None:
        return "The rest is lost, because the server keeps no state and no log."
    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        return f"The rest is lost, because {file} cannot be written: {error.strerror or error}."
    return f"The complete text is in {file}."
