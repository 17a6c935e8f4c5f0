"""The files that an execution's tasks write (`output_file`): in the folder of the execution, with safe names."""

import os
import threading
from pathlib import Path, PurePosixPath

from batchcrew.server.file_names import safe_part

MOST = 1000
"""Files of one execution that are listed; later ones are written, but not listed."""


class Artifacts:
    """Chooses where the files of one execution are written.

    Args:
        folder: where they are to be. Its last part gets a number if another execution has taken it.
        project: the project's folder; paths below it are kept as they are.
    """

    def __init__(self, folder: Path | None, project: str) -> None:
        self._wanted, self._project = folder, project
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._files: dict[str, Path] = {}

    @property
    def kept(self) -> bool:
        """Whether there is a folder for them."""
        return self._wanted is not None

    def path(self, written: str) -> Path:
        """Return the file to write instead of this one.

        Raises:
            OSError: its folder cannot be created, or there is none.
        """
        if self._wanted is None:
            raise FileNotFoundError("no folder for artifacts was named")
        with self._lock:
            if self._folder is None:
                self._folder = _taken(self._wanted)
            if written not in self._files:
                self._files[written] = self._free(self._folder / safe_path(written, self._project))
            file = self._files[written]
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _free(self, file: Path) -> Path:
        """Return the file, or one next to it if another path is written there already."""
        taken = set(self._files.values())
        number, found = 2, file
        while found in taken:
            number, found = number + 1, file.with_name(f"{file.stem}-{number}{file.suffix}")
        return found

    def of(self, written: str) -> Path | None:
        """Return where this file was written instead; None if it was not."""
        if not self._files:
            return None
        absolute = _absolute(written)
        with self._lock:
            return next((file for name, file in self._files.items() if _absolute(name) == absolute), None)

    def files(self) -> tuple[str, ...]:
        """Return the files that exist."""
        with self._lock:
            return tuple(str(file) for file in list(self._files.values())[:MOST] if os.path.isfile(file))  # noqa: PTH113 - it raises nothing


def safe_path(written: str, project: str) -> PurePosixPath:
    """Return a relative path without `..`: `reports/a.md` for `/project/reports/a.md` and for `../reports/a.md`.

    Args:
        project: the folder that absolute paths are relative to, if they are below it.
    """
    path = PurePosixPath(os.path.normpath(written))
    if path.is_relative_to(project):
        path = path.relative_to(project)
    parts = [part for part in path.parts if part.strip("/") not in {"", ".", ".."}]
    return PurePosixPath(*(safe_part(part) for part in parts)) if parts else PurePosixPath("output")


def _absolute(path: str) -> str:
    return os.path.normpath(Path.cwd() / path)


def _taken(wanted: Path) -> Path:
    """Create the folder, or one next to it with a number: an execution never writes into the folder of another one."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    number, folder = 2, wanted
    while not _is_new(folder):
        number, folder = number + 1, wanted.with_name(f"{wanted.name}-{number}")
    return folder


def _is_new(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True
