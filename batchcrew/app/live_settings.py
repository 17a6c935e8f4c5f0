"""Apply settings that `batchcrew set` replaces while a run is in progress."""

from collections.abc import Mapping
from typing import Any

from batchcrew.app.run_crews import RunCrews
from batchcrew.base.errors import LedgerError, UsageError
from batchcrew.config.settings import RunSettings, with_set_values
from batchcrew.ledger import Ledger


class LiveSettings:
    """The changer of a run's settings (see `SettingsChanger`).

    Args:
        crews: the run's crews, which have its settings.
    """

    def __init__(self, crews: RunCrews, ledger: Ledger) -> None:
        self._crews = crews
        self._ledger = ledger
        self._applied = crews.overrides

    async def apply(self, overrides: Mapping[str, Any]) -> RunSettings:
        """Prepare the crews' clients and the spill file; return the settings that apply then.

        Raises:
            UsageError: a value is not valid, or cannot be used on this machine.
        """
        if overrides != self._applied:
            settings = with_set_values(self._crews.base, overrides)
            try:
                await self._ledger.extend_spill(settings.most_in_progress)
            except LedgerError as error:
                raise UsageError(str(error)) from error
            await self._crews.resize(settings)
            self._applied = dict(overrides)
        return self._crews.settings
