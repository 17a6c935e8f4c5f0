"""Apply settings that `batchcrew set` replaces while a run is in progress."""

from collections.abc import Mapping
from typing import Any, Self

from batchcrew.app.run_crews import RunCrews
from batchcrew.base.errors import LedgerError, UsageError
from batchcrew.config.money import check_max_cost
from batchcrew.config.settings import RunSettings, with_set_values
from batchcrew.ledger import Ledger


class LiveSettings:
    """Changes the settings of a run (see `SettingsChanger`).

    Args:
        crews: the run's crews, which have its settings.
        run_id: the run, whose number of slots is recorded.
    """

    def __init__(self, crews: RunCrews, ledger: Ledger, run_id: str) -> None:
        self._crews = crews
        self._ledger = ledger
        self._run_id = run_id
        self._applied = crews.overrides

    def begin(self) -> Self:
        """Record the slots with which the run begins."""
        self._record_slots()
        return self

    async def apply(self, overrides: Mapping[str, Any]) -> RunSettings:
        """Prepare the crews' clients and the spill file; return the settings that apply then.

        Raises:
            UsageError: a value is not valid, or cannot be used on this machine.
        """
        if overrides != self._applied:
            settings = with_set_values(self._crews.base, overrides)
            check_max_cost(settings.max_cost, self._crews.jobfile.crews)
            try:
                await self._ledger.extend_spill(settings.most_in_progress)
            except LedgerError as error:
                raise UsageError(str(error)) from error
            await self._crews.resize(settings)
            self._applied = dict(overrides)
            self._record_slots()
        return self._crews.settings

    def _record_slots(self) -> None:
        """Record how many executions may be in progress by the settings in force."""
        settings = self._crews.settings
        self._ledger.slots_allowed(self._run_id, self._crews.slots, adaptive=settings.adaptive)
