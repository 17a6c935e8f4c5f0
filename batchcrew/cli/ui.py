"""`batchcrew ui`."""

import asyncio
import os
import webbrowser
from pathlib import Path

import click

from batchcrew.base.clock import SystemClock
from batchcrew.cli.interruption import uninterruptible
from batchcrew.cli.loop import call, say
from batchcrew.cli.options import existing, ledger_option, option
from batchcrew.cli.output import confirm
from batchcrew.cli.program import current_program
from batchcrew.cli.signals import handle_in_loop
from batchcrew.cli.sources import environment
from batchcrew.web.server import LivePage

PORT_VARIABLE = "BATCHCREW_UI_PORT"
NICE = 10
"""The page's nice value: a run that needs the processor comes first."""


@click.command()
@option("--open", "open_browser", is_flag=True, help="Also open the page in this machine's browser.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    envvar=PORT_VARIABLE,
    help="Port on this machine. Default: any free one.",
)
@ledger_option
def command(*, open_browser: bool, port: int, ledger: Path) -> None:
    """Show the batches of the ledger in a browser, follow a run live, and control it.

    The page is served on this machine only, and the printed link signs in one browser, once. From another machine,
    forward the port: `ssh -L 8765:127.0.0.1:8765 HOST`, and there `batchcrew ui --port 8765`. Stop it with Ctrl-C.
    """
    page = LivePage(existing(ledger), clock=SystemClock(), environ=environment(), program=current_program(), port=port)
    os.nice(NICE)
    call(_serve(page, open_browser=open_browser))


async def _serve(page: LivePage, *, open_browser: bool) -> None:
    stopped = asyncio.Event()
    handle_in_loop(lambda number: stopped.set())
    async with page:
        url = page.new_url()
        confirm(url)
        if open_browser:
            await asyncio.to_thread(webbrowser.open, url)
        say("the live page: this link works once, in one browser; Ctrl-C ends the page")
        await stopped.wait()
    uninterruptible()
