"""Inputs that the operator declares: no row must name them, and executions whose row does not get their values."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchcrew.base.crew_details import DECLARED, CrewDetails, InputDetails
from batchcrew.server.report import Input
from batchcrew.server.worker.running import Result, Running, Served
from batchcrew.server.workers.messages import Ready


class WithDeclaredInputs:
    """Implements `Served` around another one.

    Args:
        served: the loaded target.
        declared: values by name; None for an input that the target supplies itself.
    """

    def __init__(self, served: Served, declared: Mapping[str, Any]) -> None:
        self._served = served
        self._names = frozenset(declared)
        self._values = given_values(declared)

    def description(self, *, details: bool = False) -> Ready:
        """Return what is served; the declared inputs are optional."""
        ready = self._served.description(details=details)
        known = {one.name for one in ready.inputs}
        return replace(
            ready,
            details=self._with_sources(ready.details),
            inputs=(
                *(replace(one, required=False) if one.name in self._names else one for one in ready.inputs),
                *(Input(name=name, required=False) for name in sorted(self._names - known)),
            ),
        )

    def _with_sources(self, details: CrewDetails) -> CrewDetails:
        known = {one.name: one.sources for one in details.inputs}
        sources = known | {name: (*known.get(name, ()), DECLARED) for name in sorted(self._names)}
        return replace(details, inputs=tuple(InputDetails(name=name, sources=each) for name, each in sources.items()))

    def run(self, running: Running) -> Result:
        """Run the target with the declared values that the row does not name."""
        running.inputs = {**self._values, **running.inputs}
        return self._served.run(running)


def given_values(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared inputs that have a value."""
    return {name: value for name, value in declared.items() if value is not None}
