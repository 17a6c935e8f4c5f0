"""The folder of the month: the job file and its ledger, wherever they are on a day, and how they are reached."""

import random
import shutil
from pathlib import Path

from cli_process import TOKEN, Process, call, start


class Folder:
    """A folder that moves about below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._places = 0
        self.path = self._new_place()
        self._cwd = self.path
        self.jobfile = "l.yaml"
        """The path of the job file, as it is typed today."""

    def _new_place(self) -> Path:
        self._places += 1
        place = self._root / f"p{self._places}"
        place.mkdir()
        return place

    def move(self, chance: random.Random) -> str:
        """Move or copy the folder, or reach it in another way; returns how."""
        how = chance.choice(["moved", "copied", "link", "other folder"])
        if how in {"moved", "copied"}:
            new = self._new_place() / "moved"
            if how == "moved":
                self.path.rename(new)
            else:
                shutil.copytree(self.path, new)
            self.path = new
        self._cwd, self.jobfile = self.path, "l.yaml"
        if how == "link":
            self._cwd = self._new_place() / "link"
            self._cwd.symlink_to(self.path)
        elif how == "other folder":
            self._cwd = self._new_place()
            self.jobfile = f"../{self.path.relative_to(self._root)}/l.yaml"
        return how

    def call(self, *words: str, code: int | None = 0) -> str:
        """Call a command that names the job file; returns what it printed.

        Args:
            code: the expected exit code; None: any.
        """
        return self._checked(self._cwd, words, code)

    def call_inside(self, *words: str) -> str:
        """Call a command that finds the ledger itself."""
        return self._checked(self.path, words, 0)

    @staticmethod
    def _checked(folder: Path, words: tuple[str, ...], code: int | None) -> str:
        ended = call(folder, *words, CREW_TOKEN=TOKEN)
        if code is not None:
            assert ended.returncode == code, f"{words}: exit {ended.returncode}, not {code}: {ended.stderr[-3000:]}"
        return ended.stdout

    def start(self, *words: str) -> Process:
        """Start a command that names the job file."""
        return start(self._cwd, *words, CREW_TOKEN=TOKEN)
