"""`batchcrew ui`."""

import asyncio
import sys
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


@click.command()
@option("--open", "open_browser", is_flag=True, help="Also open the page in this machine's browser.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    envvar="BATCHCREW_UI_PORT",
    help="Port on this machine. Default: any free one.",
)
@click.option("--while-stdin", is_flag=True, hidden=True, help="End when stdin is closed, and ignore Ctrl-C.")
@click.option("--program", hidden=True, help="The program with which printed commands begin.")
@ledger_option
def command(*, open_browser: bool, port: int, while_stdin: bool, program: str | None, ledger: Path) -> None:
    """Show the batches of the ledger in a browser, follow a run live, and control it.

    The page is served on this machine only, and the printed link signs in one browser, once. From another machine,
    forward the port: `ssh -L 8765:127.0.0.1:8765 HOST`, and there `batchcrew ui --port 8765`. Stop it with Ctrl-C.
    """
    if not while_stdin:  # a run creates its ledger
        existing(ledger)
    page = LivePage(ledger, clock=SystemClock(), environ=environment(), program=program or current_program(), port=port)
    call(_serve(page, open_browser=open_browser, while_stdin=while_stdin))


async def _serve(page: LivePage, *, open_browser: bool, while_stdin: bool) -> None:
    stopped = asyncio.Event()
    handle_in_loop((lambda number: None) if while_stdin else (lambda number: stopped.set()))
    async with page:
        url = page.new_url()
        confirm(url)
        if open_browser:
            await asyncio.to_thread(webbrowser.open, url)
        if while_stdin:
            await _until_stdin_ends()
        else:
            say("the live page: this link works once, in one browser; Ctrl-C ends the page")
            await stopped.wait()
    uninterruptible()


async def _until_stdin_ends() -> None:
    """Wait until the process that started this one has ended, however it ended."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
