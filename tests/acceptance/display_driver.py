"""Draw the live display of a busy run below some lines of a shell, until the file `end` exists here."""

import sys
import time
from pathlib import Path

from attempts import attempt

from batchcrew.base.clock import SystemClock
from batchcrew.model.attempt import AttemptState, Outcome
from batchcrew.model.capacity import Capacity, Hold, Why
from batchcrew.model.events import AttemptEnded, CapacityChanged, KickedOff, RunStarted, Warned
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts
from batchcrew.progress.live import LiveProgress

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe"


def main() -> None:
    for number in range(60):
        print(f"line {number} of the shell")
    with LiveProgress(sys.stderr, SystemClock(), no_color=False) as progress:
        counts = Counts(pending=2000)
        progress.observe(
            RunStarted(
                batch="leads", run_id="r", jobfile="", ledger="", crews=("default (u)",), concurrency=500, counts=counts
            )
        )
        progress.observe(CapacityChanged(Capacity(500, (Hold(Why.THROTTLED, "default", detail=HOSTILE),))))
        for number in range(500):
            progress.observe(KickedOff(attempt(f"customer-{number:05d}-{HOSTILE if number == 0 else 'berlin'}")))
        for number in range(12):
            failed = Outcome(
                attempt_state=AttemptState.FAILED,
                job_state=JobState.FAILED,
                reason=f"{HOSTILE} the flight of {'abc'[number % 3] * 9} is full",
            )
            progress.observe(AttemptEnded(attempt(f"failed-{number}"), failed, 3.0))
        progress.observe(Warned(f"a warning with {HOSTILE}"))
        while not Path("end").exists():
            time.sleep(0.05)
    print("the summary")


if __name__ == "__main__":
    main()
