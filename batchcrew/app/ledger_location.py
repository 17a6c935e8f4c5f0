"""Decide which ledger a command uses, and whether a batch in it belongs to the job file. See docs/identity.md."""

import asyncio
import enum
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from batchcrew.base.clock import Clock
from batchcrew.base.errors import LedgerError, NotInLedger, UsageError
from batchcrew.base.quantities import DEFAULT_LEDGER
from batchcrew.ledger import LedgerReader, RecordedJobFile

_SHOWN_CHARACTERS = 80


class Owner(enum.Enum):
    """The relation of a batch's recorded job file to the one that is given."""

    SAME = enum.auto()
    """The same path, as given or relative to the ledger."""
    MOVED = enum.auto()
    """The recorded file no longer exists, or is the same file under another path."""
    OTHER = enum.auto()
    """Another file, which exists."""


@dataclass(frozen=True, slots=True)
class Search:
    """The folders in which the search for a ledger starts and ends."""

    folder: Path
    """The current folder, absolute."""
    home: Path

    @classmethod
    def here(cls) -> "Search":
        """Return the search of this process.

        Raises:
            UsageError: the current folder was deleted.
        """
        try:
            folder = Path.cwd()
        except FileNotFoundError:
            raise UsageError("the current folder was deleted; change to another one") from None
        return cls(folder, Path(os.path.expanduser("~")))  # noqa: PTH111 - unlike Path.home it never fails

    def upward(self, start: Path) -> Iterator[Path]:
        """Yield `start` and the folders above it, without the home folder and the root where it did not start."""
        yield start
        ends = {self.home, Path(start.anchor)}
        for below, above in zip((start, *start.parents), start.parents, strict=False):
            if below in ends or above in ends:
                return
            yield above

    def shown(self, ledger: Path) -> Path:
        """Return a path of the ledger that works from the current folder: relative if the ledger is below it."""
        return ledger.relative_to(self.folder) if ledger.is_relative_to(self.folder) else ledger


def shown(path: Path) -> Path:
    """Return a path that works from the current folder: relative if it is below it."""
    return Search.here().shown(path)


def absolute(path: Path) -> Path:
    """Return the path as given from the root, links not resolved."""
    plain = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
    try:
        if plain.samefile(path):
            return plain
    except OSError:
        return plain
    return Path(os.path.realpath(path.parent)) / path.name  # `link/..` is not the folder of the link


def exists(ledger: Path) -> bool:
    """Return whether there is a file at the ledger's path.

    Raises:
        UsageError: it cannot be determined: a name that is too long, a folder that cannot be entered.
    """
    try:
        return ledger.is_file()
    except OSError as error:
        shown = f"{str(ledger)[:_SHOWN_CHARACTERS]}…" if len(str(ledger)) > _SHOWN_CHARACTERS else ledger
        raise UsageError(f"ledger cannot be read: {shown} ({error.strerror})") from error


def is_here(ledger: Path) -> bool:
    """Return whether the ledger is in the current folder or below it."""
    return absolute(ledger).is_relative_to(Path.cwd())


def find_ledger(search: Search) -> Path | None:
    """Return the nearest ledger from the current folder upward; None if there is none.

    The ledger of the current folder itself is used even if another user owns it.
    """
    for folder in search.upward(search.folder):
        ledger = folder / DEFAULT_LEDGER
        try:
            if ledger.is_file() and (folder == search.folder or distrust(ledger) is None):
                return search.shown(ledger)
        except OSError:  # a folder that cannot be entered
            continue
    return None


def distrust(ledger: Path) -> str | None:
    """Return why a ledger that was only found is not trusted: its owner, or that everyone can write it; else None.

    It checks the file, its folder, and the folder above. A group may have write permission: on many systems every new
    file has it, for a group of one.
    """
    for path in (ledger, ledger.parent, ledger.parent.parent):
        found = path.stat()
        if found.st_uid not in {0, os.geteuid()}:
            return f"{path} belongs to another user"
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_mode & stat.S_IWOTH and not sticky:
            return f"{path} is writable by everyone"
    return None


def compare(recorded: RecordedJobFile, jobfile: Path, ledger: Path) -> Owner:
    """Return how the job file of a batch relates to `jobfile`."""
    given, place = absolute(jobfile), absolute(ledger)
    if recorded.path is None:
        return _compare_old(recorded.given, given, place)
    base = place.parent
    from_ledger = None if recorded.from_ledger is None else Path(os.path.normpath(base / recorded.from_ledger))
    if given in {Path(recorded.path), from_ledger}:
        return Owner.SAME
    places = [place for place in (Path(recorded.path), from_ledger) if place is not None and _exists(place)]
    if any(_same_file(place, given) for place in places) or not places:
        return Owner.MOVED
    return Owner.OTHER


def _compare_old(recorded: str, given: Path, ledger: Path) -> Owner:
    """Compare with a path that an earlier version recorded as it was typed, in a folder that was not recorded.

    It is another file only if that is almost certain: a ledger at the default place was used from the folder that
    contains its `results` folder, and the typed path leads from there to a file that exists.
    """
    typed = Path(recorded)
    if not typed.is_absolute() and not ledger.match(DEFAULT_LEDGER):
        return Owner.SAME
    place = Path(os.path.normpath(ledger.parent.parent / typed))
    return Owner.OTHER if place != given and _exists(place) and not _same_file(place, given) else Owner.SAME


def recorded_as(jobfile: Path, ledger: Path, date: str | None) -> RecordedJobFile:
    """Return the job file as a ledger records it."""
    path = absolute(jobfile)
    return RecordedJobFile(str(jobfile), str(path), os.path.relpath(path, absolute(ledger).parent), date)


def recorded_day(recorded: RecordedJobFile | None, batch: str) -> str | None:
    """Return the value of `{date}` in the batch's job file; from the batch's name if an earlier version recorded it."""
    if recorded is not None and recorded.date is not None:
        return recorded.date
    day = re.search(r"\d{4}-\d{2}-\d{2}", batch)
    return None if day is None else day[0]


def recorded_place(recorded: RecordedJobFile, ledger: Path) -> Path:
    """Return the path of the batch's job file now: as it was given, or moved together with the ledger."""
    if recorded.path is None:
        return Path(recorded.given)
    if _exists(Path(recorded.path)) or recorded.from_ledger is None:
        return Path(recorded.path)
    moved = Path(os.path.normpath(absolute(ledger).parent / recorded.from_ledger))
    return moved if _exists(moved) else Path(recorded.given)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # in a folder that cannot be read: it may exist
        return True
    return True


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False


async def locate(jobfile: Path, batch: str, *, search: Search, clock: Clock, warn: Callable[[str], None]) -> Path:
    """Return the ledger of a job file's batch, or where a new one is created; nothing is created here.

    `warn` gets each ledger that was skipped, if the batch is new.

    Raises:
        UsageError: several ledgers know the batch, one cannot be read, or there is no place for a new one.
    """
    given = await asyncio.to_thread(absolute, jobfile)
    near, candidates, distrusted = await asyncio.to_thread(_candidates, given.parent, search)
    known: dict[Owner, list[Path]] = {owner: [] for owner in Owner}
    unreadable: dict[Path, str] = {}
    for ledger in candidates:
        try:
            async with LedgerReader(ledger, clock=clock, any_schema=True) as reader:
                recorded = await reader.recorded_jobfile(batch)
        except NotInLedger:  # an empty file
            continue
        except LedgerError as error:
            unreadable[ledger] = str(error)
            continue
        if recorded is not None:
            known[await asyncio.to_thread(compare, recorded, given, ledger)].append(ledger)
    for found in (known[Owner.SAME], known[Owner.MOVED]):
        if len(found) > 1:
            names = ", ".join(str(search.shown(ledger)) for ledger in found)
            raise UsageError(f"{len(found)} ledgers have batch {batch!r} of {jobfile}: {names}; name one with --ledger")
        if found:
            return search.shown(found[0])
    place = near if near is not None else _new_place(given.parent, search)
    elsewhere = [why for ledger, why in unreadable.items() if ledger != place]  # opening `place` reports its own error
    if elsewhere:
        raise UsageError(f"{elsewhere[0]}; it may contain batch {batch!r}; name the ledger to use with --ledger")
    if place in distrusted:
        raise UsageError(f"ledger {search.shown(place)}: {distrusted[place]}; to use it, name it with --ledger")
    for ledger, why in distrusted.items():
        warn(f"ledger {search.shown(ledger)} is skipped: {why}; to use it, name it with --ledger")
    return search.shown(place)


def _candidates(folder: Path, search: Search) -> tuple[Path | None, list[Path], dict[Path, str]]:
    """Return the nearest ledger upward of the job file, all trusted ledgers, and those that are not trusted."""
    near: Path | None = None
    found: dict[tuple[int, int], Path] = {}  # one ledger may be reached by two paths
    distrusted: dict[Path, str] = {}
    for start in (folder, search.folder):
        for above in search.upward(start):
            ledger = above / DEFAULT_LEDGER
            try:
                if not ledger.is_file():
                    continue
                why, status = distrust(ledger), ledger.stat()
            except OSError:  # a folder that cannot be entered
                continue
            if why is not None:
                distrusted[ledger] = why
                continue
            found.setdefault((status.st_dev, status.st_ino), ledger)
            if near is None and start == folder:
                near = ledger
    return near, [*found.values()], distrusted


def _new_place(folder: Path, search: Search) -> Path:
    """Return where a new ledger is created.

    Raises:
        UsageError: it would be in the root or the home folder.
    """
    base = search.folder if folder.is_relative_to(search.folder) else folder
    for place in dict.fromkeys((base, folder)):
        if place not in {search.home, Path(place.anchor)}:
            return place / DEFAULT_LEDGER
    raise UsageError(
        f"no ledger is created directly in {base}: move the job file into a separate folder, or name a ledger"
        " with --ledger"
    )
