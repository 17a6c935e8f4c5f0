"""Options that commands share, and the rule that every option has a `BATCHCREW_…` variable."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from batchcrew.errors import NotInLedger
from batchcrew.ledger import BatchKey, Reading
from batchcrew.quantities import DEFAULT_LEDGER

Command = TypeVar("Command", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose variable is `BATCHCREW_` and its name, shown in its help."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings.setdefault("show_envvar", True)
        super().__init__(*arguments, **settings)
        if self.envvar is None and self.name is not None:
            self.envvar = f"BATCHCREW_{self.name.upper()}"


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """`click.option` with its variable."""
    return click.option(*names, cls=Option, **settings)


ledger_option = option(
    "--ledger",
    type=click.Path(path_type=Path),
    default=Path(DEFAULT_LEDGER),
    show_default=True,
    help="The SQLite file that records everything.",
)
json_option = option("--json", "as_json", is_flag=True, envvar="BATCHCREW_JSON", help="Print JSON on stdout.")
batch_argument = click.argument("batch")


def existing(ledger: Path) -> Path:
    """The ledger's path.

    Raises:
        NotInLedger: there is no such file; reading commands do not make one.
    """
    if not ledger.is_file():
        raise NotInLedger(f"there is no ledger at {ledger}: run a batch first, or name it with --ledger")
    return ledger


async def known_batch(ledger: Reading, name: str) -> BatchKey:
    """The batch of that name.

    Raises:
        NotInLedger: the ledger has none; the message names those it has.
    """
    found = await ledger.batch(name)
    if found is None:
        names = [line.batch for line in await ledger.batches()]
        known = f"it has {', '.join(names[:10])}" if names else "it is empty"
        raise NotInLedger(f"the ledger {ledger.path} has no batch {name!r}; {known}")
    return found
