"""The file that starts a worker, in the interpreter of the project that is served.

batchcrew's libraries are not installed there, and must not be: they could replace the project's. So this file does not
put batchcrew's folder on `sys.path`. It makes empty packages with the folders of the real ones, whose `__init__` would
import those libraries; the worker's modules need only the standard library and the project's crewai.

It has only syntax that any Python reads, so that one that is too old can say which version it is.
"""

import json
import os
import sys

OLDEST = (3, 10)
"""The oldest Python that crewai, and so the worker, runs with."""
PACKAGES = ("batchcrew", "batchcrew.base", "batchcrew.server", "batchcrew.server.worker", "batchcrew.server.workers")
DESCRIBE = "--describe"


def hide_this_folder():
    # type: () -> str
    """Remove this file's folder from `sys.path`, where Python puts it; return batchcrew's folder."""
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    return os.path.dirname(os.path.dirname(here))


def make_packages(root):
    # type: (str) -> None
    """Make packages that contain nothing but the folder in which their modules are found."""
    import types  # noqa: PLC0415 - not for `describe`

    for name in PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(root, *name.split(".")[1:])]
        sys.modules[name] = package


def describe():
    # type: () -> None
    """Print the versions of this Python and of its crewai, as JSON."""
    crewai = None
    if sys.version_info >= OLDEST:
        import importlib.metadata  # noqa: PLC0415 - an older Python does not have it
        import importlib.util  # noqa: PLC0415 - as above

        if importlib.util.find_spec("crewai") is not None:
            try:
                crewai = importlib.metadata.version("crewai")
            except importlib.metadata.PackageNotFoundError:  # a folder on the path, without metadata
                crewai = ""
    sys.stdout.write(json.dumps({"python": list(sys.version_info[:3]), "crewai": crewai}))


if __name__ == "__main__":
    folder = hide_this_folder()
    if DESCRIBE in sys.argv[1:]:
        describe()
    else:
        make_packages(folder)
        from batchcrew.server.worker.main import main

        main()
