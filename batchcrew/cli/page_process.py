"""The process of the live page next to a run: `python -m batchcrew.cli.page_process LEDGER PORT PROGRAM`.

It prints the link that signs in one browser, and serves until its stdin ends, which happens at the end of the run in
any case.
"""

import asyncio
import os
import sys
from pathlib import Path

from batchcrew.base.clock import SystemClock
from batchcrew.cli.leaving import end_now
from batchcrew.cli.loop import call
from batchcrew.cli.output import confirm
from batchcrew.cli.signals import handle_in_loop
from batchcrew.cli.sources import environment
from batchcrew.cli.ui import NICE
from batchcrew.model.exit_codes import ExitCode
from batchcrew.web.server import LivePage


async def _serve(page: LivePage) -> None:
    handle_in_loop(lambda number: None)
    async with page:
        confirm(page.new_url())
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()


def main() -> None:
    """Serve the page."""
    ledger, port, program = sys.argv[1:]
    page = LivePage(Path(ledger), clock=SystemClock(), environ=environment(), program=program, port=int(port))
    os.nice(NICE)
    call(_serve(page))
    end_now(ExitCode.SUCCEEDED)


if __name__ == "__main__":
    main()
