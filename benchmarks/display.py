"""Measure how much of a core the live display takes, with many executions in progress on a terminal.

    python benchmarks/display.py [--executions 500] [--seconds 20] [--per-second 20]

A driver reports the events of a busy run: executions that start, make progress and end. The figure is the CPU time of
the display's thread, and of recording the events, as a share of the time.
"""

import argparse
import itertools
import os
import pty
import random
import sys
import threading
import time
from datetime import UTC, datetime

from batchcrew.base.clock import SystemClock, to_text
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.capacity import Capacity, Hold, Why
from batchcrew.model.events import AttemptEnded, CapacityChanged, KickedOff, PollDue, Progressed, RunStarted
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts
from batchcrew.progress.live import LiveProgress


def attempt(number: int) -> Attempt:
    return Attempt(
        attempt_id=f"run-{number}",
        batch="leads",
        job_key=number,
        job_id=f"customer-{number:06d}-berlin",
        crew="default",
        number=1,
        attempts_used=1,
        inputs={},
        meta={},
        intended_at=to_text(datetime.now(UTC)),
    )


def read_all(terminal: int) -> None:
    """Read what the display writes, as a terminal does."""
    while True:
        try:
            if not os.read(terminal, 65_536):
                return
        except OSError:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--per-second", type=float, default=20, help="executions that end each second")
    options = parser.parse_args()
    ours, theirs = pty.openpty()
    threading.Thread(target=read_all, args=(ours,), daemon=True).start()
    rng, clock = random.Random(1), SystemClock()
    progress = LiveProgress(os.fdopen(theirs, "w"), clock, no_color=False)
    with progress:
        display, observing = drive(progress, options, rng, clock)
    print(f"{options.executions} executions in progress, {options.per_second:g} end each second:")
    print(f"  drawing {display:.2%} of a core, recording events {observing:.2%}")
    if display + observing >= 0.03:
        sys.exit("the display takes 3 % of a core or more")


def drive(
    progress: LiveProgress, options: argparse.Namespace, rng: random.Random, clock: SystemClock
) -> tuple[float, float]:
    """Report the events of a run; return the CPU time of drawing and of recording, as shares of the time."""
    numbers = itertools.count()
    counts = Counts(pending=100_000)
    progress.observe(
        RunStarted(
            batch="leads", run_id="run", jobfile="", ledger="", crews=("default (u)",), concurrency=500, counts=counts
        )
    )
    progress.observe(CapacityChanged(Capacity(options.executions, (Hold(Why.SLOTS, "default"),))))
    running = [attempt(next(numbers)) for _ in range(options.executions)]
    for each in running:
        progress.observe(KickedOff(each))
    drawing = time.pthread_getcpuclockid(progress._painter.ident or 0)  # noqa: SLF001 - it is measured
    began, cpu, observing = time.monotonic(), time.clock_gettime(drawing), 0.0
    step = 1 / options.per_second
    while (passed := time.monotonic() - began) < options.seconds:
        time.sleep(step)
        started = time.thread_time()
        place = rng.randrange(len(running))
        ended = running[place]
        failed = rng.random() < 0.1
        outcome = Outcome(
            attempt_state=AttemptState.FAILED if failed else AttemptState.SUCCEEDED,
            job_state=JobState.FAILED if failed else JobState.SUCCEEDED,
            reason=f"tool {rng.randrange(9)} failed: no such city {rng.random()}" if failed else None,
        )
        progress.observe(AttemptEnded(ended, outcome, 25.0))
        running[place] = attempt(next(numbers))
        progress.observe(KickedOff(running[place]))
        for each in rng.sample(running, 5):
            task = Execution(state=ExecutionState.RUNNING, word="running", current_task="research", total_tasks=3)
            progress.observe(Progressed(each, task))
            progress.observe(PollDue(each.attempt_id, clock.monotonic() + 5))
        observing += time.thread_time() - started
    return (time.clock_gettime(drawing) - cpu) / passed, observing / passed


if __name__ == "__main__":
    main()
