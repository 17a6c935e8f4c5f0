"""CrewAI in a worker: makes a crew or flow that has never run for each execution, and runs it.

Of the worker's modules, `main.py`, `running.py` and `factories.py` do not import crewai; the others do it only inside
functions. Only worker processes import them.
"""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchcrew.base.crew_details import CrewDetails
from batchcrew.server.report import Input
from batchcrew.server.target import Target
from batchcrew.server.worker.declarations import declared
from batchcrew.server.worker.factories import Factory
from batchcrew.server.worker.importing import CURE, find
from batchcrew.server.worker.inputs import crew_inputs, flow_inputs
from batchcrew.server.worker.knowledge import separate_knowledge
from batchcrew.server.worker.memory import set_up_memory
from batchcrew.server.worker.output_files import redirect_output_files
from batchcrew.server.worker.results import result
from batchcrew.server.worker.running import Result, Running, TargetError, describe_error
from batchcrew.server.worker.starts_nothing import starts_nothing
from batchcrew.server.workers.messages import Ready

MISSING = (
    "crewai is not installed in batchcrew's environment; pip install 'batchcrew[crewai]', or name the Python of the"
    " project's own environment with serve.python (or --python)"
)
FACTORY_CURE = "name a function that returns the crew without running it"


def load(
    target: Target,
    storage: Path | None = None,
    *,
    flows: Path | None = None,
    memory: str = "shared",
    inputs: Mapping[str, Any] | None = None,
    alone: bool = False,
    warn: Callable[[str], None] = lambda text: None,
) -> "Loaded":
    """Import the target.

    Args:
        storage: the folder for the library's files, if no other process uses it.
        flows: the folder for the states of flows; None: where the library puts them.
        memory: `isolated`, `shared` or `off`.
        inputs: values that the operator declares, for a function that is called to find out what the crew needs.
        alone: the worker runs one execution.
        warn: reports what the operator should know.

    Raises:
        TargetError: it is not a crew that can be served.
    """
    if importlib.util.find_spec("crewai") is None:
        raise TargetError(MISSING)
    from batchcrew.server.worker.crewai_patches import end_at_missing_packages, keep_flows_in, lock_within, omit_log

    omit_log()
    end_at_missing_packages()
    if storage is not None:
        lock_within(storage)
    if flows is not None:
        keep_flows_in(flows)
    redirect_output_files(warn)
    separate_knowledge()
    set_up_memory(memory, warn, alone=alone)
    if target.definition:
        with starts_nothing(target.name, cure=CURE, whole_process=True):
            make, defaults = declared(target)
        return Loaded(target.name, lambda _: make(), defaults=defaults, folder=target.folder)
    return replace(_loaded(find(target), target.name, inputs or {}), folder=target.folder)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Implements `Served`."""

    name: str
    make: Callable[[Mapping[str, Any]], Any]
    """Makes a crew or flow that has never run, for these inputs."""
    parameters: tuple[Input, ...] = ()
    """The inputs that the function which makes it uses itself."""
    trial: Mapping[str, Any] | None = None
    """Values for the required ones of them."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of inputs that a kickoff does not name, from a file that describes the crew or flow."""
    folder: str = ""
    """The root of the project."""

    def description(self, *, details: bool = False) -> Ready:
        """Return what is served, and which events there are."""
        from crewai import Flow

        from batchcrew.server.worker.crewai_versions import suppress_panels
        from batchcrew.server.worker.listeners import event_types

        suppress_panels()
        with starts_nothing(self.name, cure=FACTORY_CURE):
            made = self.make(self.trial or {})
            flow = isinstance(made, Flow)
            own = flow_inputs(made) if flow else crew_inputs(made)
        known = {one.name for one in self.parameters}
        given = {one.name for one in own}
        own = [replace(one, required=False) if one.name in self.defaults else one for one in own]
        own += [Input(name=name, required=False) for name in self.defaults if name not in given]
        return Ready(
            name=self.name,
            what="flow" if flow else "crew",
            inputs=(*self.parameters, *(one for one in own if one.name not in known)),
            total=len(getattr(made, "_methods", ())) if flow else len(made.tasks),
            events=tuple(sorted(event_types())),
            details=self._details(made, "flow" if flow else "crew") if details else CrewDetails(),
        )

    def _details(self, made: Any, what: str) -> CrewDetails:
        from batchcrew.server.worker.describing import describe

        return describe(
            made,
            what=what,
            folder=self.folder,
            parameters=self.parameters,
            defaults=self.defaults,
            guard=lambda: starts_nothing(self.name, cure=FACTORY_CURE),
        )

    def run(self, running: Running) -> Result:
        """Run a crew that has never run, and send its events."""
        from crewai import Flow

        from batchcrew.server.worker.crewai_versions import usage_of
        from batchcrew.server.worker.listeners import listening

        with starts_nothing(self.name, cure=FACTORY_CURE):
            made = self.make(running.inputs)
        if getattr(made, "stream", False):
            made.stream = False  # a stream runs only while it is read, and here it is not
        with listening(running, made):
            found = made.kickoff(inputs={**self.defaults, **running.inputs})
        if not running.usage:
            running.usage.update(usage_of(found))
        return result(found, made if isinstance(made, Flow) else None, running.inputs)


def _loaded(found: Any, name: str, inputs: Mapping[str, Any]) -> Loaded:
    from crewai import Crew, Flow

    if isinstance(found, Crew):
        _refuse_run(found, name)
        copy: Callable[[], Any] = found.copy
        return Loaded(name, lambda _: copy())  # a crew keeps the inputs of its run; the original never runs
    if isinstance(found, Flow):
        raise TargetError(f"{name} is an instance of a flow; name its class {type(found).__name__}")
    if not callable(found):
        raise TargetError(f"{name} is {type(found).__name__}, not a crew, a flow class, or a function that makes one")
    factory = Factory(found, name)
    about = (tuple(factory.inputs), factory.trial(inputs))
    with starts_nothing(name, cure=FACTORY_CURE):
        first = _tried(factory, about[1], name)
        again = first if inspect.isclass(found) else _made(factory, about[1], name)
    if first is not again or inspect.isclass(found):
        return Loaded(name, lambda inputs: _made(factory, inputs, name), *about)
    if isinstance(first, Crew) and not about[0]:
        template: Callable[[], Any] = first.copy  # a function that returns the same crew each time
        return Loaded(name, lambda _: template())
    what = "crew" if isinstance(first, Crew) else "flow"
    raise TargetError(f"{name} returns the same {what} each time; return a new one, or name a class")


def _tried(factory: Factory, trial: Mapping[str, Any], name: str) -> Any:
    try:
        return _made(factory, trial, name)
    except TargetError:
        raise
    except Exception as error:
        how = ", ".join(f"{parameter}={value!r}" for parameter, value in trial.items())
        raise TargetError(f"{name}({how}), called to find its inputs, raised {describe_error(error)}") from error


def _made(factory: Factory, inputs: Mapping[str, Any], name: str) -> Any:
    from crewai import Crew, Flow

    made = factory.make(inputs)
    if not isinstance(made, Crew | Flow) and callable(getattr(made, "crew", None)):
        made = made.crew()
    if not isinstance(made, Crew | Flow):
        cure = "; give it a method crew() that returns its Crew" if type(made).__module__ != "builtins" else ""
        raise TargetError(f"{name} makes {type(made).__name__}, which is not a crew or a flow{cure}")
    if isinstance(made, Crew):
        _refuse_run(made, name)
    return made


def _refuse_run(crew: Any, name: str) -> None:
    """Refuse a crew that has run: it keeps the inputs of that run, and would answer every row for them."""
    for task in crew.tasks:
        if getattr(task, "_original_description", None) is not None:
            raise TargetError(f"{name} has been run with other inputs already; {CURE}, or {FACTORY_CURE}")
