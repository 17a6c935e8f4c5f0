"""Serve the live page next to a run, for `run --ui`.

The page has its own process, so that rendering does not slow the run down and a defect in it cannot end the run. Its
stdin is a pipe from the run, so that it ends with the run in any case.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchcrew.app.wiring import Source, ledger_of
from batchcrew.base.clock import SystemClock
from batchcrew.base.errors import BatchcrewError
from batchcrew.cli.loop import call
from batchcrew.cli.program import current_program
from batchcrew.cli.sources import Target

END_SECONDS = 3.0
"""How long the page may take to end after its run."""


@contextmanager
def page_of_run(target: Target, started: Callable[[str], None], warn: Callable[[str], None]) -> Iterator[None]:
    """Serve the page during the block.

    Args:
        started: receives the link that signs in one browser.
        warn: receives why there is no page; the run continues without it.
    """
    try:
        ledger = call(_ledger(target.source, target.ledger))
    except BatchcrewError:
        yield  # the run reports the mistake
        return
    port = os.environ.get("BATCHCREW_UI_PORT", "0")
    with subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, "-m", "batchcrew.cli.page_process", str(ledger), port, current_program()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,  # Ctrl-C must stop only the run
    ) as page:
        assert page.stdout is not None  # noqa: S101 - they are pipes
        assert page.stdin is not None  # noqa: S101
        try:
            if url := page.stdout.readline().strip():
                started(url)
            else:
                warn("the live page could not be started; call `batchcrew ui` in another terminal")
            yield
        finally:
            with contextlib.suppress(OSError):
                page.stdin.close()
            try:
                page.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                page.kill()


async def _ledger(source: Source, given: Path | None) -> Path:
    jobfile, _ = await asyncio.to_thread(source.load)
    return await ledger_of(jobfile, given, clock=SystemClock(), warn=lambda message: None)
