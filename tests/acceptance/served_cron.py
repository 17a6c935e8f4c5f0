"""Run a batch as cron does, with a crew that each run serves: short runs, two Ctrl-C and a SIGKILL on the way.

python tests/acceptance/served_cron.py [--state] measures it as cron would run it: executions of 8 s, runs of 10 s.
"""

import argparse
import re
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cli_process import ProcessOptions, closing, start_with

ROWS = 12
DRIVER = ProcessOptions(script=Path(__file__).with_name("serve_driver.py"))
JOB_FILE = """
crew: {{serve: {{target: "stage:crew", workers: 1, threads: 3{state}}}}}
run: {{concurrency: 3, max_runtime: {max_runtime:g}s, poll: {{initial: 20ms, max: 100ms}}, retry: {{attempts: 1}}}}
jobs: [{{rows: rows.csv}}]
"""
INTERRUPTIONS = {1: signal.SIGINT, 2: signal.SIGINT, 3: signal.SIGKILL}
"""Signals by the number of the run that gets them; the first run is 0."""


@dataclass
class Story:
    """What happened."""

    begun: Counter[str]
    """Executions that began, by topic."""
    ended: Counter[str]
    """Executions that ended, by topic."""
    exits: list[int] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    """Ids of the jobs that a run named as interrupted."""
    states: list[str] = field(default_factory=list)
    """States of the jobs at the end."""
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Attempts by their state and reason."""
    seconds: float = 0.0


def cron(folder: Path, *, execution: float, max_runtime: float, state: bool, hold: bool) -> Story:
    """Run the batch until it is finished.

    Args:
        execution: seconds of one execution.
        max_runtime: seconds of one run.
        hold: executions that get a signal never end otherwise; else they get it in the middle.
    """
    log = folder / "log"
    log.touch()
    text = JOB_FILE.format(max_runtime=max_runtime, state=", state: served.db" if state else "")
    (folder / "jobs.yaml").write_text(text, encoding="utf-8")
    lines = ["id,do,topic", *(f"job-{n},timed,row-{n}" for n in range(ROWS))]
    (folder / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    story, began = Story(Counter(), Counter()), time.monotonic()
    while 0 not in story.exits:
        number = len(story.exits)
        assert number < 4 * ROWS, "it does not end"
        interruption = INTERRUPTIONS.get(number)
        variables = {"LOG": str(log), "SECONDS": str(execution), **({"HOLD": "1"} if hold and interruption else {})}
        earlier, before = _runs(folder), len(_lines(log, "begun"))
        run = start_with(DRIVER, folder, "run", "jobs.yaml", **variables)
        if interruption:
            while run.poll() is None and (_in_progress(folder, earlier) < 3 or len(_lines(log, "begun")) < before + 3):
                time.sleep(0.01)
            time.sleep(0.0 if hold else execution / 2)
            run.send_signal(interruption)
        out, said = run.communicate()
        assert run.returncode in {0, 3, 130, -signal.SIGKILL}, (run.returncode, story.exits, out, said)
        story.exits.append(run.returncode)
        named = [line for line in (out + said).splitlines() if "interrupted with an earlier run" in line]
        story.named += re.findall(r"job-[0-9]+", " ".join(named))
    story.seconds = time.monotonic() - began
    story.begun.update(_lines(log, "begun"))
    story.ended.update(_lines(log, "ended"))
    story.states = [state for (state,) in _query(folder, "SELECT state FROM results")]
    story.attempts.update((one, two) for one, two in _query(folder, "SELECT state, reason FROM attempt_history"))
    return story


def _lines(log: Path, kind: str) -> list[str]:
    return [topic for what, topic in map(str.split, log.read_text(encoding="utf-8").splitlines()) if what == kind]


def _query(folder: Path, query: str) -> list[tuple[str, ...]]:
    ledgers = list(folder.glob("results/batchcrew.db"))
    if not ledgers:
        return []
    connection = sqlite3.connect(ledgers[0])
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # its tables do not exist yet
        return []
    finally:
        connection.close()


def _runs(folder: Path) -> list[tuple[str, ...]]:
    return _query(folder, "SELECT id FROM runs")


def _in_progress(folder: Path, earlier: list[tuple[str, ...]]) -> int:
    """Return how many executions this run has in progress whose ids are in the ledger."""
    found = _query(folder, "SELECT run_id FROM attempt_history WHERE kickoff_id IS NOT NULL AND ended_at IS NULL")
    return sum(one not in earlier for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a batch of a served crew under cron.")
    parser.add_argument("--state", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, closing():
        print(cron(Path(folder), execution=8.0, max_runtime=10.0, state=options.state, hold=False))


if __name__ == "__main__":
    main()
