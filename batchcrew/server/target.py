"""A target of `batchcrew serve`, for the server and for its workers. `targets.py` finds it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The place of a crew."""

    name: str
    """The target as you wrote it."""
    folder: str
    """The working folder of the workers, absolute; its `.env` is read."""
    paths: tuple[str, ...]
    """Put in front of `sys.path`, absolute."""
    siblings: tuple[str, ...] = ()
    """Put in `sys.path` after the standard library: a package's own folder, for modules that import the others in
    it by bare names, as in `from tools.search import …`."""
    modules: tuple[str, ...] = ()
    """Modules to import: the first one that contains the crew is used."""
    file: str = ""
    """A file to import as the module, if it is not part of a package."""
    attribute: str = ""
    """The name in the module; empty: its only crew class or flow class."""
    kind: str = ""
    """`crew` or `flow`, if the project specifies it; only that kind is looked for."""
    definition: str = ""
    """A file that describes the crew or flow (`kind`) without Python, absolute. There is no module then."""
